/**
 * How many children a message has cost, told among workers: for a broker where a message cannot be changed (RabbitMQ), and a copy of it would lack the
 * server's mark. The message itself goes back unchanged; whoever's child died says so to all, before it does.
 *
 * Owns its listener and what was heard, bounded. A worker that was not there then does not know: counting begins anew when all have been
 * restarted.
 */
import type { Broker, Listener } from '../broker/broker.ts';
import { messageOf } from '../errors.ts';
import type { Logger } from '../log/logger.ts';
import type { Message } from '../protocol/message.ts';
import { escapeControls } from '../std/escape-controls.ts';

export interface CrashNoticesParams {
  readonly broker: Broker;
  readonly log: Logger;
  /** Messages remembered. Default: 1000. */
  readonly maxRemembered?: number;
}

const exchange = 'umbel.crashes';

/** How many, and until when it is not to be started again (Unix milliseconds; 0: whenever). */
interface Crashes {
  readonly count: number;
  readonly notBeforeMs: number;
}

export class CrashNotices {
  readonly name = 'crash notices';
  readonly #params: CrashNoticesParams;
  readonly #crashes = new Map<string, Crashes>();
  #listener: Listener | null = null;

  constructor(params: CrashNoticesParams) {
    this.#params = params;
  }

  async start(): Promise<void> {
    this.#listener = await this.#params.broker.listen({
      exchange,
      exchangeType: 'fanout',
      routingKey: '',
      onMessage: (message) => this.#heard(message),
    });
  }

  async stop(): Promise<void> {
    await this.#listener?.stop();
    this.#listener = null;
  }

  crashesOf(taskId: string): number {
    return this.#crashes.size === 0 ? 0 : (this.#crashes.get(taskId)?.count ?? 0);
  }

  notBeforeMs(taskId: string): number {
    return this.#crashes.size === 0 ? 0 : (this.#crashes.get(taskId)?.notBeforeMs ?? 0);
  }

  forget(taskId: string): void {
    this.#crashes.delete(taskId);
  }

  /**
   * Known here from now on; resolves when the broker has it for the others, or will not have it: the message goes back all the same. (After a restart of
   * the server the exchange is not there until one of its listeners is back.)
   */
  async tell(taskId: string, crashes: number, notBeforeMs = 0): Promise<void> {
    const { broker, log } = this.#params;
    this.#remember(taskId, { count: crashes, notBeforeMs });
    const body = Buffer.from(JSON.stringify({ id: taskId, crashes, not_before: notBeforeMs }));
    const properties = { contentType: 'application/json', contentEncoding: 'utf-8', deliveryMode: 1 as const };
    try {
      await broker.publish({ properties, headers: null, body }, { exchange, routingKey: '' });
    } catch (error) {
      log.warning(
        'task.crash-untold',
        `Other workers do not hear that task ${escapeControls(taskId)} has ended ${crashes} children: ${messageOf(error)}`,
        {
          taskId,
        },
      );
    }
  }

  /** Nobody but workers publishes there; what is no notice is none. */
  #heard({ body }: Message): void {
    try {
      const { id, crashes: count, not_before: notBefore } = JSON.parse(body.toString('utf8')) as Readonly<Record<string, unknown>>;
      if (typeof id !== 'string' || typeof count !== 'number' || count <= this.crashesOf(id)) return;
      this.#remember(id, { count, notBeforeMs: typeof notBefore === 'number' ? notBefore : 0 });
    } catch {
      // Not ours.
    }
  }

  #remember(taskId: string, crashes: Crashes): void {
    this.#crashes.delete(taskId);
    this.#crashes.set(taskId, crashes);
    const [oldest] = this.#crashes.keys();
    if (this.#crashes.size > (this.#params.maxRemembered ?? 1000) && oldest !== undefined) this.#crashes.delete(oldest);
  }
}
