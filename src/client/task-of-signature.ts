/**
 * From an applied task to its message and where it goes: what the signature says, completed by the options of the task where this process
 * has it.
 */

import { mappedTask } from '../canvas/mapped-task.ts';
import type { OutgoingTaskWithRoute } from '../canvas/signature-task.ts';
import type { PublishRequest } from '../producer/producer.ts';
import type { Message } from '../protocol/message.ts';
import { encodeTask } from '../protocol/task-message.ts';
import { knownTask } from '../task/task.ts';
import { completeRoute, deliveryModeNumber, type TaskRoute } from '../task/task-route.ts';

/** Throws what encodeTask throws. */
export function messageOfTask(
  { route, chords, ...sent }: OutgoingTaskWithRoute,
  protocol: 1 | 2,
): { readonly message: Message; readonly request: PublishRequest } {
  const options = knownTask(sent.task);
  const whole = options === undefined ? route : completeRoute<TaskRoute>(route, options);
  const ignoreResult = sent.ignoreResult ?? options?.ignoreResult ?? null;
  return {
    message: encodeTask({ ...sent, ignoreResult, protocol }),
    request: {
      taskName: mappedTask(sent.task, sent.kwargs) ?? sent.task,
      taskId: sent.id,
      route: { ...route, ...whole, deliveryMode: deliveryModeNumber(whole.deliveryMode) },
      dueAtMs: sent.etaMs ?? null,
    },
  };
}
