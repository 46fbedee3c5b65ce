/** One run of one task in a child, without a pipe and a process. */
import { isPrepared, prepare, run, type TaskEnd } from '../../src/child/run-task.ts';
import { encodeTask, type OutgoingTask } from '../../src/protocol/task-message.ts';
import { defineTask, type TaskFunction, TaskRegistry } from '../../src/task/registry.ts';
import { resolveTaskOptions, type TaskOptions } from '../../src/task/task-options.ts';
import { childSettings } from '../pool/pool-bench.ts';
import { FakeHost } from '../task/fake-request.ts';

/** A promise only when the task returned one, or has handlers. */
export function runOnce(
  options: TaskOptions,
  fn: (...args: never[]) => unknown,
  message: Partial<OutgoingTask> = {},
  host = new FakeHost(),
): TaskEnd | Promise<TaskEnd> {
  const registry = new TaskRegistry();
  const name = 'tasks.it';
  registry.add(
    defineTask({ name, fn: fn as TaskFunction, options: resolveTaskOptions(options, name), file: 'tasks.ts', sources: () => [] }),
  );
  const sent = encodeTask({ task: name, id: 'id-1', args: [], kwargs: {}, origin: 'gen1@test', ...message });
  const deliveryInfo = { exchange: '', routing_key: 'celery', priority: 3, redelivered: false };
  const prepared = prepare({ headers: sent.headers, properties: sent.properties, deliveryInfo }, sent.body, registry);
  if (!isPrepared(prepared)) throw new Error(`it must be prepared, got ${prepared.kind}`);
  return run(prepared, childSettings(1, 1, []), host);
}
