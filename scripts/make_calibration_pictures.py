"""Make the built-in calibration pictures from the sample data of scikit-image and scikit-learn.

Run ``python scripts/make_calibration_pictures.py`` with both packages installed; the pictures' sources
and licences stand in ``squeeze_hls/calibration/LICENSES.md``.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import skimage.data
import sklearn.datasets
from PIL import Image

TARGET = Path(__file__).resolve().parent.parent / "squeeze_hls" / "calibration"
SIDE = 256
QUALITY = 85


def sources() -> dict[str, np.ndarray]:
    """Name to u8 (H, W, 3); wide scenes also give crops, so that the set knows close-ups."""
    china, flower = (sklearn.datasets.load_sample_image(f"{name}.jpg") for name in ("china", "flower"))
    astronaut, chelsea = skimage.data.astronaut(), skimage.data.chelsea()
    return {
        "astronaut": astronaut,
        "astronaut-crop": astronaut[:280, 80:360],
        "camera": np.repeat(skimage.data.camera()[:, :, None], 3, axis=2),
        "chelsea": chelsea,
        "chelsea-crop": chelsea[40:240, 100:300],
        "china": china,
        "china-crop": china[100:400, 300:600],
        "coffee": skimage.data.coffee(),
        "flower": flower,
        "flower-crop": flower[20:420, 120:520],
        "hubble": skimage.data.hubble_deep_field(),
        "rocket": skimage.data.rocket(),
        "rocket-crop": skimage.data.rocket()[100:400, 170:470],
    }


def main() -> None:
    for name, pixels in sources().items():
        picture = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)
        picture.save(TARGET / f"{name}.jpg", quality=QUALITY)
    print(sum(p.stat().st_size for p in TARGET.glob("*.jpg")), "bytes in", TARGET)


if __name__ == "__main__":
    main()
