/** A camera of the operator, in a module of his own: `umbel events --camera camera.ts`. Runs in the command itself. */
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { messageOf, UmbelError } from '../errors.ts';
import type { CameraFunctions } from '../event/camera.ts';
import { importModule } from '../task/import-module.ts';

/** What it exports by these names, or as its default. Rejects with CAMERA_FAILED. */
export async function loadCamera(given: string, workdir: string): Promise<CameraFunctions> {
  const path = resolve(workdir, given);
  if (!existsSync(path)) throw new UmbelError('CAMERA_FAILED', `--camera must name a module that is there, got ${path}`);
  let found: Readonly<Record<string, unknown>>;
  try {
    const module = await importModule(path);
    const inside: unknown = module.default;
    found = module.onShutter === undefined && typeof inside === 'object' && inside !== null ? { ...inside } : module;
    if (typeof inside === 'function' && module.onShutter === undefined) found = { ...module, onShutter: inside };
  } catch (error) {
    throw new UmbelError('CAMERA_FAILED', `the camera ${path} did not load: ${messageOf(error)}`, { cause: error });
  }
  const { onShutter, onCleanup, clearAfter } = found;
  if (typeof onShutter !== 'function')
    throw new UmbelError('CAMERA_FAILED', `the camera ${path} must export a function as onShutter or default, got ${typeof onShutter}`);
  if (onCleanup !== undefined && typeof onCleanup !== 'function')
    throw new UmbelError('CAMERA_FAILED', `onCleanup of the camera ${path} must be a function, got ${typeof onCleanup}`);
  if (clearAfter !== undefined && typeof clearAfter !== 'boolean')
    throw new UmbelError('CAMERA_FAILED', `clearAfter of the camera ${path} must be true or false, got ${typeof clearAfter}`);
  return {
    onShutter: onShutter as CameraFunctions['onShutter'],
    ...(onCleanup === undefined ? null : { onCleanup: onCleanup as () => unknown }),
    ...(clearAfter === undefined ? null : { clearAfter }),
  };
}
