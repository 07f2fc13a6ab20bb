from ..errors import UserError, suggest
from .bundled import BUNDLED, load_bundled


def load_task(name):
    if name in BUNDLED:
        return load_bundled(name)
    raise UserError(f'unknown task "{name}"{suggest(name, BUNDLED)}; bundled are {", ".join(BUNDLED)}')
