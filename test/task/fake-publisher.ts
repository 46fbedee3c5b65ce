/** A publisher that writes down what it is asked to send. */
import { StoredResult } from '../../src/client/async-result.ts';
import type { AnyResult, AsyncResult } from '../../src/task/async-result.ts';
import type { Publisher, SignatureCall, TaskCall } from '../../src/task/publisher.ts';

export class FakePublisher implements Publisher {
  readonly calls: TaskCall[] = [];
  readonly applied: SignatureCall[] = [];

  async call<R>(call: TaskCall): Promise<AsyncResult<R>> {
    this.calls.push(call);
    return new StoredResult<R>('id-1', null);
  }

  async apply(call: SignatureCall): Promise<AnyResult> {
    this.applied.push(call);
    return new StoredResult('id-1', null);
  }
}
