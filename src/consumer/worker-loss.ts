/**
 * What it means for a task that its child has gone: whether it failed, and with what, or is run again.
 *
 * Owns the rules of worker-behaviour.md §2 for it, as one pure decision per task. Carrying it out is consumer/settle.ts.
 */
import type { ChildExit, Job, JobKill, KillOutcome } from '../pool/job.ts';
import { type ExceptionDocument, timeLimitExceeded, workerLost } from '../protocol/exception.ts';
import { lossText, type Poison, type Verdict } from './poison.ts';
import type { Request } from './request.ts';

export type WorkerLoss =
  /** Back to its queue: it is run again. */
  | { readonly kind: 'put-back'; readonly level: 'warning' | 'error'; readonly text: string; readonly verdict: Verdict | null }
  | {
      readonly kind: 'failed';
      readonly error: ExceptionDocument;
      readonly traceback: string | null;
      readonly action: 'ack' | 'drop';
      /** Its own doing, or it went with its child. */
      readonly count: 'failed' | 'lost';
      /** null: it was said when the child was ended. */
      readonly text: string | null;
      /** What is to be done before its message is acknowledged. */
      readonly verdict: Verdict | null;
    };

export interface LossRules {
  /** Children end because the worker does. */
  readonly stopping: boolean;
  readonly poison: Pick<Poison, 'onCrash'>;
}

export function workerLossOf(request: Request, job: Job, exit: ChildExit, { stopping, poison }: LossRules): WorkerLoss {
  const { offer, label } = request;
  const kill = exit.killed ?? null;
  const message = `${lossText(exit, job)}${kill === null ? '' : because(kill)}`;
  if (request.lost) {
    const text = `Task ${label}, whose message is no longer ours, has ended: ${message}`;
    return { kind: 'put-back', level: 'warning', text, verdict: null };
  }
  if (kill?.job === job && kill.outcome.kind === 'time-limit') return endOfItsOwn(request, kill.outcome);
  // It is the worker that ended the task, at a cold stop or because of another one: acknowledged late it is simply not done yet.
  const unfinished = offer.acksLate && (stopping || kill !== null);
  const verdict = !unfinished && offer.acksLate && offer.rejectOnWorkerLost ? poison.onCrash(request, exit, message) : null;
  if (unfinished || (verdict !== null && verdict.kind !== 'dead')) {
    return { kind: 'put-back', level: 'error', text: `Task ${label} is put back: ${message}`, verdict };
  }
  const said = verdict?.text ?? message;
  const text = `Task ${label} raised unexpected: WorkerLostError('${said}')`;
  return { kind: 'failed', error: workerLost(said), traceback: null, action: verdict?.action ?? 'ack', count: 'lost', text, verdict };
}

/** Of the job for whose sake its child was ended. (What is terminated ends in consumer/request.ts.) */
function endOfItsOwn({ offer }: Request, { limitSeconds, stack }: Extract<KillOutcome, { kind: 'time-limit' }>): WorkerLoss {
  return {
    kind: 'failed',
    error: timeLimitExceeded(limitSeconds),
    traceback: stack === null ? null : `TimeLimitExceeded: ${limitSeconds}\n${stack.join('\n')}\n`,
    action: offer.acksLate && !offer.acksOnFailureOrTimeout ? 'drop' : 'ack',
    count: 'failed',
    text: null,
    verdict: null,
  };
}

/** For a task that only ran beside the one meant. */
function because({ job, outcome }: JobKill): string {
  const why =
    outcome.kind === 'terminated' ? `was terminated (${outcome.signal})` : `exceeded its hard time limit of ${outcome.limitSeconds}s`;
  return ` It ran in the same child as ${job.label}, which ${why}.`;
}
