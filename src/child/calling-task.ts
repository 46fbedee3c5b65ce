/** What is sent inside a task has from it: its place in the tree of tasks, its stamps, and its priority where that is inherited. */
import { Application, type Applied } from '../canvas/application.ts';
import type { Signature, SignatureParts } from '../canvas/signature.ts';
import { newUuid } from '../std/new-uuid.ts';
import type { TaskRequest } from '../task/task-context.ts';
import { origin } from './origin.ts';

/** The task that calls. */
export type Caller = Pick<TaskRequest, 'id' | 'rootId' | 'deliveryInfo' | 'stampedHeaders' | 'stamps'>;

export interface CalledInTask {
  readonly application: Application;
  readonly applied: Applied;
}

/** Throws MESSAGE_INVALID. `caller` is undefined outside of a task: in a module's own code. */
export function applyInTask(
  signature: Signature,
  given: SignatureParts,
  caller: Caller | undefined,
  inheritPriority: boolean,
): CalledInTask {
  const context = { origin, nowMs: Date.now(), stampedHeaders: caller?.stampedHeaders ?? [], stamps: caller?.stamps ?? {} };
  const application = new Application(context, newUuid);
  const options: Record<string, unknown> = { ...given.options };
  if (caller !== undefined) {
    const { id, rootId, deliveryInfo } = caller;
    const inherited = { root_id: rootId, parent_id: id, priority: inheritPriority ? deliveryInfo.priority : null };
    // What somebody has said explicitly stands.
    for (const [name, value] of Object.entries(inherited)) options[name] ??= signature.options[name] ?? value;
  }
  const applied = application.send(signature, { ...given, options }, `signature of ${signature.task}`);
  return { application, applied };
}
