"""What a camera does to a picture: exposure, white balance, vignetting, blur, noise, JPEG.

Rendered rooms have none of it but a little noise. The choices come from the caller's generator, and
the arithmetic does not depend on the number of threads.
"""

import numpy as np

from pamm.pictures.images import through_jpeg

GAMMA = 2.2
STOPS = 1.0  # the exposure is up to so many too short or too long
BALANCE = 0.12  # deviation of the logarithm of the gains of red and blue
CORNERS = 0.5  # the most that vignetting takes from the corners
BLUR = (0.3, 1.6)  # deviation in pixels
SHAKE = (2, 6)  # length in pixels
NOISE = 0.04  # deviation, of white, at most
QUALITY = (25, 95)


def camera_effects(
    image: np.ndarray, generator: np.random.Generator, *, probability: float
) -> np.ndarray:
    """Each effect with `probability`, in the order in which they come about.

    Args:
        image: float32 (3, H, W), 0..255.
        generator: source of all choices.
        probability: of each of the six effects, 0 to 1.

    Returns:
        float32 (3, H, W), 0..255.
    """
    light = (np.clip(image, 0, 255) / np.float32(255)) ** np.float32(GAMMA)
    for effect in (exposure, white_balance, vignetting, blur, noise):
        if generator.random() < probability:
            light = effect(light, generator)
    x = np.clip(light, 0, 1) ** np.float32(1 / GAMMA) * np.float32(255)
    return jpeg(x, generator) if generator.random() < probability else x


def exposure(light: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Brighter or darker by up to `STOPS`; what is too bright becomes white."""
    return light * np.float32(2 ** generator.uniform(-STOPS, STOPS))


def white_balance(light: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Too warm, too cold, too green."""
    red, blue = np.exp(generator.normal(0, BALANCE, 2))
    return light * np.array([red, 1, blue], np.float32)[:, None, None]


def vignetting(light: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Darker towards the corners."""
    _, height, width = light.shape
    y = (np.arange(height, dtype=np.float32) + 0.5) / height - 0.5
    x = (np.arange(width, dtype=np.float32) + 0.5) / width - 0.5
    out = (y[:, None] ** 2 + x**2) * np.float32(2)  # 1 in the corners
    return light * (1 - np.float32(generator.uniform(0, CORNERS)) * out)


def blur(light: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Out of focus, or shaken along a line."""
    from scipy import ndimage  # here, as prediction needs none of it

    if generator.random() < 0.7:
        deviation = generator.uniform(*BLUR)
        return ndimage.gaussian_filter(light, (0, deviation, deviation), mode="nearest")
    length, angle = generator.uniform(*SHAKE), generator.uniform(0, np.pi)
    steps = np.linspace(-0.5, 0.5, 2 * int(np.ceil(length)) + 1) * length
    kernel = np.zeros((SHAKE[1] + 3,) * 2, np.float32)
    middle = len(kernel) // 2
    rows, columns = (np.round(middle + steps * f(angle)).astype(int) for f in (np.sin, np.cos))
    np.add.at(kernel, (rows, columns), 1 / len(steps))
    return ndimage.convolve(light, kernel[None], mode="nearest")


def noise(light: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """That of a sensor: stronger where there is more light, but less in proportion."""
    deviation = np.float32(generator.uniform(0, NOISE))
    grain = generator.standard_normal(light.shape, np.float32)
    return light + deviation * grain * np.sqrt(np.clip(light, 0, 1) + np.float32(0.02))


def jpeg(image: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """Through a JPEG file; float32 (3, H, W), 0..255."""
    pixels = np.ascontiguousarray((image + np.float32(0.5)).astype(np.uint8).transpose(1, 2, 0))
    decoded = through_jpeg(pixels, int(generator.integers(*QUALITY)))
    return decoded.transpose(2, 0, 1).astype(np.float32)
