/** Another try may succeed: it is the broker or the backend that failed, and not what was asked of it. */
import { UmbelError } from '../errors.ts';

export function mayPass(error: unknown): boolean {
  if (!(error instanceof UmbelError) || error.code === 'BROKER_REFUSED') return false;
  return error.code.startsWith('BROKER_') || error.code.startsWith('BACKEND_');
}
