/**
 * The error callbacks of a task whose child died: with no child left to make them, the parent reads the body this once.
 */
import { hostname } from 'node:os';
import { followUpsOfFailure } from '../canvas/follow-up.ts';
import { messageOf } from '../errors.ts';
import type { FailedStep } from '../ipc/exchange.ts';
import type { FollowUp } from '../pool/job.ts';
import { encodeTask, readContent } from '../protocol/task-message.ts';
import type { Request } from './request.ts';

export interface LostFollowUps {
  /** null: none. */
  readonly followUps: readonly FollowUp[] | null;
  readonly failedSteps: readonly FailedStep[];
  /** What could not be sent. */
  readonly unsupported: readonly string[];
}

export function lostFollowUps(request: Request): LostFollowUps {
  const { delivery, header } = request;
  try {
    const content = readContent(delivery, header.protocol);
    const origin = `gen${process.pid}@${hostname()}`;
    const { id, rootId, group, stampedHeaders, stamps } = header;
    const applied = followUpsOfFailure({ id, rootId, group, priority: null, origin, stampedHeaders, stamps }, content);
    const followUps = applied.publish.map(({ route, ...task }) => {
      const message = encodeTask(task);
      const meta = {
        taskName: task.task,
        taskId: task.id,
        headers: message.headers,
        properties: message.properties,
        route,
        dueAtMs: task.etaMs ?? null,
      };
      return { meta, body: message.body };
    });
    return { followUps: followUps.length === 0 ? null : followUps, failedSteps: applied.failedSteps, unsupported: applied.unsupported };
  } catch (error) {
    return { followUps: null, failedSteps: [], unsupported: [`its error callbacks: ${messageOf(error)}`] };
  }
}
