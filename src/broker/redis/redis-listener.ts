/**
 * Listeners: broadcasts over a channel, replies over a list of one's own.
 *
 * A direct exchange has no channel in kombu's layout. Its listener owns a list named as kombu names reply queues,
 * `<routing key>.<exchange>`, bound like any queue, and takes from it without acknowledgement; list and binding end with it.
 */
import type { RedisConnection } from '../../driver/redis.ts';
import { RedisFailure } from '../../driver/redis-failure.ts';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import { type DecodedEnvelope, decodeEnvelope } from '../../protocol/virtual-envelope.ts';
import type { Listener, ListenParams } from '../broker.ts';
import { subscribeBroadcast } from './broadcast-channel.ts';
import { bindingMember, type KeyLayout } from './key-layout.ts';
import type { ReadyWatch, Watched } from './ready-watch.ts';

export interface RedisListenerParams {
  readonly connection: RedisConnection;
  readonly layout: KeyLayout;
  readonly watch: ReadyWatch;
  readonly log: Logger;
  readonly listen: ListenParams;
  stopped(listener: RedisListener): void;
}

export class RedisListener implements Listener {
  readonly #params: RedisListenerParams;
  #active = true;
  #end: (() => Promise<void>) | null = null;
  #watched: Watched | null = null;
  #taking = false;

  constructor(params: RedisListenerParams) {
    this.#params = params;
  }

  /** Resolves when nothing published from now on is missed. Rejects with a RedisFailure. */
  async start(): Promise<void> {
    const { connection, layout, watch, listen } = this.#params;
    const { exchange, exchangeType, routingKey } = listen;
    if (exchangeType === 'direct') {
      await this.bind();
      this.#watched = watch.add(layout.lists(this.#queue), () => this.#take());
      this.#take();
      return;
    }
    this.#end = await subscribeBroadcast({
      subscriber: connection.subscriber,
      layout,
      exchange,
      exchangeType,
      routingKey,
      onMessage: (decoded) => this.#hand(decoded),
      onGarbage: (error) => this.#complain(error),
    });
  }

  /** Again on a server that may have forgotten it. */
  async bind(): Promise<void> {
    const { connection, layout, listen } = this.#params;
    if (listen.exchangeType === 'direct') await connection.call('SADD', layout.binding(listen.exchange), this.#member);
  }

  async stop(): Promise<void> {
    if (!this.#active) return;
    this.#active = false;
    this.#params.stopped(this);
    this.#watched?.stop();
    await this.#end?.();
    const { connection, layout, listen } = this.#params;
    if (listen.exchangeType !== 'direct' || connection.state !== 'connected') return;
    try {
      await Promise.all([
        connection.call('SREM', layout.binding(listen.exchange), this.#member),
        connection.call('DEL', ...layout.lists(this.#queue)),
      ]);
    } catch (error) {
      // Without a server there is nothing to clean.
      if (!(error instanceof RedisFailure)) throw error;
    }
  }

  get #queue(): string {
    return `${this.#params.listen.routingKey}.${this.#params.listen.exchange}`;
  }

  get #member(): string {
    return bindingMember(this.#params.listen.routingKey, '', this.#queue, this.#params.layout.sep);
  }

  #take(): void {
    const { connection, layout } = this.#params;
    if (this.#taking || !this.#active || connection.state !== 'connected') return;
    this.#taking = true;
    Promise.all(layout.lists(this.#queue).map((list) => connection.call('RPOP', list))).then(
      (texts) => {
        this.#taking = false;
        let found = 0;
        for (const text of texts) {
          if (typeof text !== 'string') continue;
          found++;
          this.#read(text);
        }
        if (this.#active && (found > 0 || this.#watched?.empty() === false)) this.#take();
      },
      () => {
        // The watch wakes us when there is a server again.
        this.#taking = false;
        this.#watched?.empty();
      },
    );
  }

  #read(text: string): void {
    let decoded: DecodedEnvelope;
    try {
      decoded = decodeEnvelope(text);
    } catch (error) {
      this.#complain(error);
      return;
    }
    this.#hand(decoded);
  }

  #hand({ message, routingKey }: DecodedEnvelope): void {
    if (this.#active) this.#params.listen.onMessage(message, routingKey);
  }

  #complain(error: unknown): void {
    this.#params.log.error('broker.undecodable', `A message on ${this.#params.listen.exchange} was dropped: ${messageOf(error)}`);
  }
}
