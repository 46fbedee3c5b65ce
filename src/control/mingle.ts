/**
 * Mingle: a worker that starts, or is back, asks its neighbours what they know: their logical clocks, and which tasks are revoked.
 *
 * Owns the question and what is said of it. One neighbour's odd answer does not keep those of others from being heard.
 * Source: protocol notes, control.md §2 (hello); the log lines are Celery's.
 */
import { messageOf } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import { writeRevokedMap } from '../protocol/revoked-map.ts';
import type { LamportClock } from '../std/lamport-clock.ts';
import type { ControlClient } from './control-client.ts';

export interface MingleParams {
  readonly client: Pick<ControlClient, 'broadcast'>;
  readonly nodeName: string;
  readonly logicalClock: LamportClock;
  readonly timeoutMs: number;
  readonly log: Logger;
  /** Ids and seconds of our monotonic clock. */
  revokedTimes(): ReadonlyMap<string, number>;
  /** The `revoked` of an answer. */
  learnRevoked(helloRevoked: unknown): void;
}

/** Resolves when the time for answers is over, or at once where nobody listens; a broker that refuses is said, and nobody was met. */
export async function mingle({ client, nodeName, logicalClock, timeoutMs, log, ...revokes }: MingleParams): Promise<void> {
  log.info('mingle.searching', 'mingle: searching for neighbors');
  let met = 0;
  try {
    await client.broadcast('hello', {
      arguments: { from_node: nodeName, revoked: writeRevokedMap(revokes.revokedTimes()) },
      timeoutMs,
      ifHeard: true,
      onReply: ({ nodeName: neighbour, value }) => {
        // We ourselves, or another node of our name, answer nothing.
        if (neighbour === nodeName || value === null) return;
        const { clock, revoked, error } = Object(value) as Readonly<Record<string, unknown>>;
        if (error !== undefined) {
          log.warning('mingle.failed', `mingle: sync with ${neighbour} failed: ${String(error)}`, { neighbour });
          return;
        }
        met++;
        logicalClock.adjust(clock);
        revokes.learnRevoked(revoked);
        log.debug('mingle.reply', `mingle: processing reply from ${neighbour}`, { neighbour });
      },
    });
  } catch (error) {
    log.warning('mingle.failed', `mingle: nobody could be asked: ${messageOf(error)}`);
    return;
  }
  if (met === 0) log.info('mingle.alone', 'mingle: all alone');
  else log.info('mingle.synced', `mingle: sync with ${met} nodes: sync complete`, { nodes: met });
}
