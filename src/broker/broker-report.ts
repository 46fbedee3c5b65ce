/**
 * What a broker says of its place for `umbel doctor`: facts only, each kind of broker its own. What is wrong with them is doctor/.
 *
 * Whoever reports connects by itself, changes nothing, takes no message and disconnects.
 */
import type { AmqpServer } from '../driver/amqp-session.ts';
import type { RedisSurvey } from '../driver/redis-survey.ts';
import type { SqliteSurvey } from '../driver/sqlite-survey.ts';
import type { QueueDeclaration } from './broker.ts';

export interface DiagnosisParams {
  /** Those the worker takes tasks from, as it would declare them. */
  readonly queues: readonly QueueDeclaration[];
}

export interface QueueReport {
  readonly name: string;
  readonly ready: number;
}

/** Of brokers where a message stays with a worker that gives no more sign of life, until another one gives it back. */
export interface HeldReport {
  /** umbel workers that give signs of life. */
  readonly livingWorkers: number;
  readonly heldByDead: number;
}

export interface EmbeddedReport extends HeldReport {
  readonly kind: 'embedded';
  readonly displayUrl: string;
  readonly file: SqliteSurvey;
  readonly queues: readonly QueueReport[];
}

export interface RedisReport extends HeldReport {
  readonly kind: 'redis';
  readonly displayUrl: string;
  readonly server: RedisSurvey;
  readonly visibilityTimeoutMs: number;
  /** Messages held under tags that are none of umbel's. */
  readonly heldByPython: number;
  /** Of the messages looked at, the due time that is furthest away; null: none waits. */
  readonly furthestDueAtMs: number | null;
  readonly queues: readonly QueueReport[];
}

export interface RabbitmqQueueReport extends QueueReport {
  readonly exists: boolean;
  readonly consumers: number;
  /** What the server says of the declaration of a queue that is there; null: it is the same. */
  readonly difference: string | null;
  /** The user may not declare it. */
  readonly denied: string | null;
  /** Why this user may not consume from it. */
  readonly consumeRefusal: string | null;
  /** The queue its dead letters are sent to straight, by the exchange ''; null: they go another way. */
  readonly deadLetterQueue: { readonly name: string; readonly exists: boolean } | null;
}

export interface RabbitmqExchangeReport {
  readonly name: string;
  readonly exists: boolean;
  readonly difference: string | null;
}

export interface RabbitmqReport {
  readonly kind: 'rabbitmq';
  readonly displayUrl: string;
  readonly server: AmqpServer;
  /** Why it takes no messages: an alarm. */
  readonly blocked: string | null;
  /** Why this user may not publish. */
  readonly publishRefusal: string | null;
  readonly queues: readonly RabbitmqQueueReport[];
  /** Those of the queues, and those where their dead letters go. */
  readonly exchanges: readonly RabbitmqExchangeReport[];
}

export interface MemoryReport {
  readonly kind: 'memory';
  readonly displayUrl: string;
}

export type BrokerReport = EmbeddedReport | RedisReport | RabbitmqReport | MemoryReport;
