/**
 * What `new App(…)` is inside a worker: a module shared by clients and workers may create one, but a child has no connection of
 * its own, so calls go through its parent whatever URL the module names.
 */
import { UmbelError } from '../errors.ts';
import type { AnyResult, AsyncResult } from '../task/async-result.ts';
import { type Publisher, publisher, type SignatureCall, type TaskCall } from '../task/publisher.ts';

export class WorkerApp implements Publisher {
  call<R>(call: TaskCall): Promise<AsyncResult<R>> {
    return publisher().call<R>(call);
  }

  apply(call: SignatureCall): Promise<AnyResult> {
    return publisher().apply(call);
  }

  start(): Promise<void> {
    return Promise.resolve();
  }

  stop(): Promise<void> {
    return Promise.resolve();
  }

  get control(): never {
    throw new UmbelError('NOT_SUPPORTED', 'remote control must be asked for outside of workers, got app.control in a pool child');
  }
}
