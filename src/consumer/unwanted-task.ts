/** What is said of a task that is not to be run, or not any more, and the data of its `task-revoked` event (events.md §2). */
import type { Logger } from '../log/logger.ts';
import { escapeControls } from '../std/escape-controls.ts';
import type { Request } from './request.ts';

/** terminated: it was running. */
export type UnwantedReason = 'expired' | 'revoked' | 'terminated';

/** The fields of the event `task-revoked`. */
export interface RevokedEvent {
  readonly terminated: boolean;
  readonly signum: number | null;
  readonly expired: boolean;
}

export function revokedEvent({ terminatedBy }: Request, reason: UnwantedReason): RevokedEvent {
  const terminated = reason === 'terminated';
  return { terminated, signum: terminated ? (terminatedBy?.number ?? null) : null, expired: reason === 'expired' };
}

/** `byStamp`: by which stamp it is revoked, or ''. */
export function sayUnwanted(log: Logger, request: Request, reason: UnwantedReason, byStamp: string): void {
  const text =
    reason === 'terminated'
      ? `Task ${request.label} terminated (${request.terminatedBy?.name})`
      : `Discarding revoked task: ${request.label}${reason === 'revoked' ? escapeControls(byStamp) : ''}`;
  const { id: taskId, task: taskName } = request.header;
  log.info('task.revoked', text, { taskId, taskName, ...revokedEvent(request, reason) });
}
