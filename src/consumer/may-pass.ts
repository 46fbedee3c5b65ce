/** Another try may succeed: it is the broker or the backend that failed, and not what was asked of it. */
import { UmbelError } from '../errors.ts';

export function mayPass(error: unknown): boolean {
  return error instanceof UmbelError && (error.code.startsWith('BROKER_') || error.code.startsWith('BACKEND_'));
}
