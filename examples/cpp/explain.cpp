// Explains a picture with a compiled model, by OpenVINO, whose wheel brings headers and libraries. The picture is a PPM file of
// the model's size.
//
//     pip install openvino
//     ov=$(python -c 'import openvino; print(openvino.__path__[0])')
//     c++ -std=c++17 explain.cpp -I$ov/include -L$ov/libs -l:$(basename $ov/libs/libopenvino.so.*) -Wl,-rpath,$ov/libs -o explain
//     onnxsal compile model.onnx --bytes-in --give drawing -o explained.onnx
//     convert photo.jpg -resize '224x224!' photo.ppm
//     ./explain explained.onnx photo.ppm drawing.ppm
#include <algorithm>
#include <cstdint>
#include <fstream>
#include <iostream>
#include <openvino/openvino.hpp>
#include <stdexcept>
#include <string>

static ov::Tensor read_ppm(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  std::string kind;
  size_t width = 0, height = 0, levels = 0;
  if (!(file >> kind >> width >> height >> levels) || kind != "P6" || levels != 255) throw std::runtime_error(path + " is no PPM file");
  ov::Tensor picture(ov::element::u8, {1, height, width, 3});
  if (!file.ignore().read(reinterpret_cast<char*>(picture.data<uint8_t>()), picture.get_byte_size())) throw std::runtime_error(path + " is too short");
  return picture;
}

static void write_ppm(const std::string& path, const ov::Tensor& drawing) {
  std::ofstream file(path, std::ios::binary);
  file << "P6\n" << drawing.get_shape()[2] << ' ' << drawing.get_shape()[1] << "\n255\n";
  file.write(reinterpret_cast<const char*>(drawing.data<uint8_t>()), drawing.get_byte_size());
}

int main(int count, char** words) try {
  if (count != 4) throw std::runtime_error("usage: explain MODEL PICTURE.ppm DRAWING.ppm");
  auto model = ov::Core().compile_model(words[1], "CPU", ov::hint::inference_precision(ov::element::f32));
  auto request = model.create_infer_request();
  request.set_tensor(model.input(0), read_ppm(words[2]));
  request.infer();
  const ov::Tensor scores = request.get_tensor(model.output(0));
  const float* first = scores.data<float>();
  std::cout << std::max_element(first, first + scores.get_size()) - first << '\n';
  write_ppm(words[3], request.get_tensor("drawing"));
} catch (const std::exception& error) {
  std::cerr << error.what() << '\n';
  return 1;
}
