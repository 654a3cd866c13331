"""The catalogue of methods: built-ins by the same registration as plug-ins, each imported when it is asked for."""

from __future__ import annotations

from dataclasses import replace

from onnxsal import plugins
from onnxsal.errors import EnvironmentSetupError, UsageError
from onnxsal.methods.registry import IN_PROGRAM, MADE, Method

plugins.offer(
    plugins.METHODS,
    {
        "gradient": "onnxsal.methods.gradients:gradient",
        "input-x-gradient": "onnxsal.methods.gradients:input_x_gradient",
        "guided-backprop": "onnxsal.methods.gradients:guided_backprop",
        "deconvnet": "onnxsal.methods.gradients:deconvnet",
        "attnlrp": "onnxsal.methods.gradients:attnlrp",
        "integrated-gradients": "onnxsal.methods.integrated:integrated_gradients",
        "smoothgrad": "onnxsal.methods.smoothing:smoothgrad",
        "smoothgrad-squared": "onnxsal.methods.smoothing:smoothgrad_squared",
        "vargrad": "onnxsal.methods.smoothing:vargrad",
        "temporal-saliency-rescaling": "onnxsal.methods.temporal:temporal_saliency_rescaling",
        "cam": "onnxsal.methods.cam:cam",
        "grad-cam": "onnxsal.methods.cam:grad_cam",
        "grad-cam++": "onnxsal.methods.cam:grad_cam_pp",
        "hirescam": "onnxsal.methods.cam:hirescam",
        "layercam": "onnxsal.methods.cam:layercam",
        "seg-xres-cam": "onnxsal.methods.seg_xres_cam:seg_xres_cam",
        "xgrad-cam": "onnxsal.methods.cam:xgrad_cam",
        "eigencam": "onnxsal.methods.eigencam:eigencam",
        "similarity-map": "onnxsal.methods.similarity:similarity_map",
        "smooth-grad-cam++": "onnxsal.methods.smooth_grad_cam:smooth_grad_cam_pp",
        "score-cam": "onnxsal.methods.score_cam:score_cam",
        "ss-cam": "onnxsal.methods.score_cam:ss_cam",
        "is-cam": "onnxsal.methods.score_cam:is_cam",
        "ablation-cam": "onnxsal.methods.ablation:ablation_cam",
        "recipro-cam": "onnxsal.methods.ablation:recipro_cam",
        "occlusion": "onnxsal.methods.occlusion:occlusion",
        "rise": "onnxsal.methods.rise:rise",
        "shapley": "onnxsal.methods.shapley:shapley",
    },
)


def names() -> list[str]:
    """Return the names of all methods, built-in and plugged-in, without importing any."""
    return list(plugins.offers(plugins.METHODS))


def local_names() -> list[str]:
    """Return the names of methods that this program made and that nothing offers."""
    on_offer = plugins.offers(plugins.METHODS)
    return [name for name in MADE if name not in on_offer]


def get(name: str) -> Method:
    """Return a method by name.

    Raises: UsageError: there is none of that name. EnvironmentSetupError: the package that brings it is broken.
    """
    if not isinstance(name, str):
        raise UsageError(f"method={name!r}: expected the name of one method, for example 'grad-cam++'")
    if name in MADE and name not in plugins.offers(plugins.METHODS):
        return replace(MADE[name], origin=IN_PROGRAM)
    offer = plugins.find(plugins.METHODS, name, kind="method", lister="onnxsal methods")
    found = offer.load()
    if not isinstance(found, Method):
        raise EnvironmentSetupError(
            f"{name!r} from {offer.origin} is not a method: {offer.target} is {type(found).__name__}"
        )
    return replace(found, origin=offer.origin)
