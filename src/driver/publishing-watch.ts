/**
 * Finds out that the connection which is published over is dead, though nothing says so: no heartbeats, or so few that messages would wait for minutes.
 *
 * Owns the looks and the question. It looks only while the server owes an answer, and takes every byte that comes, and every byte that goes out
 * while others wait behind it, for a sign of life: a system that took no more takes some again when the server has read. What waits may grow all the
 * while, and what goes out while nothing waits only fills the system's buffer. After some looks in a row without a sign it has the server asked
 * something that is answered at once: a slow disk delays confirmations, and not that. The connection is given up when that is not answered either.
 * While the server has said that it reads nothing it can be asked nothing, so nothing is concluded.
 *
 * Looks are counted, and no time is measured: a process that stood still has not listened.
 */
import type { Logger } from '../log/logger.ts';
import type { Clock, Timer } from '../std/clock.ts';
import type { AmqpConnection } from './amqp.ts';

export interface PublishingWatchParams {
  readonly connection: Pick<AmqpConnection, 'state' | 'epoch' | 'blocked' | 'traffic' | 'heartbeatSeconds' | 'reconnect' | 'displayUrl'>;
  /** The server has not answered all that it was sent. */
  isOwed(): boolean;
  /** Send what is answered at once, and is not waited for here. */
  ask(): void;
  readonly log: Logger;
  readonly clock: Clock;
}

const lookMs = 5000;
const looksUntilAsked = 3;
/** The busiest server has answered by then. */
const looksUntilGivenUp = 6;

export class PublishingWatch {
  readonly #params: PublishingWatchParams;
  #timer: Timer | undefined;
  #looking: NodeJS.Immediate | undefined;
  /** That of the last look. */
  #epoch = 0;
  #bytesRead = 0;
  #bytesSent = 0;
  #bytesUnsent = 0;
  /** In a row. */
  #silentLooks = 0;

  constructor(params: PublishingWatchParams) {
    this.#params = params;
  }

  /** Something is about to be sent. Costs nothing while it looks. */
  begin(): void {
    if (this.#timer !== undefined) return;
    this.#isAlive();
    this.#silentLooks = 0;
    this.#arm();
  }

  stop(): void {
    this.#params.clock.clearTimer(this.#timer);
    clearImmediate(this.#looking);
    this.#timer = undefined;
  }

  #arm(): void {
    // What has come by then is read before the look: this process may have stood still.
    const read = (): void => {
      this.#looking = setImmediate(() => this.#look());
    };
    this.#timer = this.#params.clock.setTimer(read, lookMs, { ref: false });
  }

  #look(): void {
    const { connection, isOwed, ask } = this.#params;
    this.#timer = undefined;
    // Whoever sends over the next one begins anew.
    if (connection.state !== 'connected' || !isOwed()) return;
    this.#arm();
    if (this.#isAlive() || connection.blocked !== null) {
      this.#silentLooks = 0;
      return;
    }
    this.#silentLooks += 1;
    if (this.#silentLooks === looksUntilAsked) ask();
    if (this.#silentLooks >= this.#enough()) this.#giveUp();
  }

  /** Since the last call. */
  #isAlive(): boolean {
    const { epoch, traffic } = this.#params.connection;
    const { bytesRead, bytesSent, bytesUnsent } = traffic ?? { bytesRead: 0, bytesSent: 0, bytesUnsent: 0 };
    const hasGoneOn = this.#bytesUnsent > 0 && bytesSent !== this.#bytesSent;
    const isAlive = epoch !== this.#epoch || bytesRead !== this.#bytesRead || hasGoneOn;
    this.#epoch = epoch;
    this.#bytesRead = bytesRead;
    this.#bytesSent = bytesSent;
    this.#bytesUnsent = bytesUnsent;
    return isAlive;
  }

  /** A server that gives signs of life by itself is believed for as long as none is due, however busy it is. */
  #enough(): number {
    const heartbeatMs = (this.#params.connection.heartbeatSeconds ?? 0) * 1000;
    return Math.max(looksUntilGivenUp, Math.ceil(heartbeatMs / lookMs) + 1);
  }

  #giveUp(): void {
    const { connection, log } = this.#params;
    const what = `the server has not answered for ${(this.#silentLooks * lookMs) / 1000} s what it was sent`;
    this.#silentLooks = 0;
    log.error('amqp.publisher-silent', `RabbitMQ: ${what} to publish. Connecting anew to publish (${connection.displayUrl})`);
    connection.reconnect(what);
  }
}
