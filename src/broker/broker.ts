/**
 * The broker contract: what a consumer, a producer and the control mailbox may ask of RabbitMQ, Redis, SQLite or memory.
 *
 * One implementation per folder beside this file; one conformance suite (test/broker/conformance.ts) runs over all of them.
 * The contract is written so that none of the four has to pretend:
 *  - a delivery stays the broker's until it is acknowledged, rejected or deferred; if its holder dies it is delivered again,
 *    marked `redelivered`, to somebody;
 *  - every delivery carries the epoch of the connection it came over; settling one of an earlier epoch is reported as
 *    'stale' and has no effect (AMQP delivery tags die with their channel; a Redis or SQLite lease may have been lost);
 *  - waiting for a due time is the broker's business (`defer`): a column in SQLite, identity and time only with Redis, memory
 *    for short waits and delay queues for long ones with RabbitMQ;
 *  - calls made in one turn of the event loop may be written together (group commit, MULTI, batched frames); a promise
 *    resolves only when its own effect is as durable as the broker can make it;
 *  - a lost connection is the broker's to repair. Consumers hear of it through `onStateChange`; what it costs them they hear
 *    through `onLost`, which names the deliveries that are no longer theirs: all of a lost AMQP channel, none of a full disk.
 *    Deliveries not named there stay valid, and their settlement waits for the broker to be back;
 *  - a holder that stood still, or lost sight of the broker, may have lost what it holds before it is told. `heldUntilMs` is the
 *    time up to which that cannot be; past it nothing held may be started until `onHeld` says that what was lost has been named.
 */
import type { Message } from '../protocol/message.ts';
import type { PlainTask } from '../protocol/plain-task.ts';
import type { BrokerReport, DiagnosisParams } from './broker-report.ts';
import type { OperatorChannel } from './operator-channel.ts';

export type ExchangeType = 'direct' | 'topic' | 'fanout' | 'headers';

/** One more binding of a queue. */
export interface QueueBinding {
  readonly exchange: string;
  /** Default: 'direct'. */
  readonly exchangeType?: ExchangeType;
  /** Default: ''. */
  readonly routingKey?: string;
  /** For a headers exchange: what must match, and x-match. */
  readonly arguments?: Readonly<Record<string, unknown>>;
}

/** A queue with its exchange and binding, as Celery declares it. */
export interface QueueDeclaration {
  readonly name: string;
  /** Default: the queue's own name. */
  readonly exchange?: string;
  /** Default: 'direct'. */
  readonly exchangeType?: ExchangeType;
  /** Default: the queue's own name. */
  readonly routingKey?: string;
  /** Default: true. */
  readonly durable?: boolean;
  /** Default: false. */
  readonly autoDelete?: boolean;
  /** Default: false. */
  readonly exclusive?: boolean;
  /** x-arguments (RabbitMQ); other brokers ignore what has no meaning for them. */
  readonly arguments?: Readonly<Record<string, unknown>>;
  /** Of the binding to `exchange`. */
  readonly bindingArguments?: Readonly<Record<string, unknown>>;
  /** Further ones. */
  readonly bindings?: readonly QueueBinding[];
  /** The exchange outlives a restart of the server. Default: true. */
  readonly exchangeDurable?: boolean;
  /** Of each consumption from it, e.g. x-priority. */
  readonly consumerArguments?: Readonly<Record<string, unknown>>;
  /** It must exist already: nothing is declared or bound. */
  readonly noDeclare?: boolean;
}

/** Where a message goes. Exchange '' is the default exchange: the routing key is a queue name. */
export interface Destination {
  readonly exchange: string;
  readonly routingKey: string;
  /** Unix milliseconds before which nobody should receive it. Brokers without delayed delivery may deliver early: the consumer defers. */
  readonly dueAtMs?: number;
  /**
   * A message that no queue takes, and no listener hears, is an error (BROKER_REFUSED) that names exchange and routing key, and not dropped. On the
   * default exchange that is for RabbitMQ alone: the others have a queue as soon as something is sent to its name.
   */
  readonly mandatory?: boolean;
  /**
   * To this queue alone, wherever the exchange leads. Exchange and routing key are what the message says of itself, where it can say it (not on RabbitMQ,
   * where it says that it was sent to the queue).
   */
  readonly queue?: string;
  /** A copy of a message that was delivered before: marked so, where a message can say it (not on RabbitMQ, where the server marks). */
  readonly redelivered?: boolean;
  /**
   * That the broker has it may be heard for many at once: `later`, a few milliseconds after, when the sender is in no hurry, or `soon`. Those of one sender
   * stay in order, whichever it is. Default: by itself.
   */
  readonly confirm?: 'later' | 'soon';
  /** Other processes that wait for it come before the sender's own consumers. Where the server itself takes turns, or all are equally quick, it does nothing. */
  readonly othersFirst?: boolean;
  /** The sender tries again by itself: it need not wait here for a server that is away, only for one that is being connected with. */
  readonly impatient?: boolean;
}

/** A message handed to a consumer, not yet settled. */
export interface Delivery extends Message {
  /** Unique among the unsettled deliveries of its subscription. */
  readonly tag: string | number;
  readonly queue: string;
  readonly exchange: string;
  readonly routingKey: string;
  /** It may have been (partly) processed before. */
  readonly redelivered: boolean;
  /** How often it was delivered before, where the broker counts; null where it does not. */
  readonly deliveryCount: number | null;
  readonly epoch: number;
  /** It was delivered to this subscription before, and deferred by it. */
  readonly wasDeferred?: boolean;
  /** What a message of the plain form says: read by then, where headers and properties are not. */
  readonly plain?: PlainTask;
}

/**
 * 'stale': the delivery no longer belongs to this subscription (connection or lease lost); nothing was changed.
 * 'kept': only where the result backend had to decide (`GroupStore.storeChordPart`): it still belongs to it, to be settled later.
 */
export type SettleOutcome = 'done' | 'stale' | 'kept';

export interface RejectOptions {
  /** true: back to its queue, redelivered. false: dead-lettered where the queue says so, else dropped. */
  readonly requeue: boolean;
  /**
   * With `requeue`: it comes again with these headers, behind all others. In one step, whatever happens to us or to the broker: there is never one
   * message too many. Rejects with NOT_SUPPORTED on RabbitMQ, where a message cannot be changed.
   */
  readonly headers?: Message['headers'];
}

export interface ScheduledMessage extends Message {
  readonly dueAtMs: number;
  readonly exchange: string;
  readonly routingKey: string;
}

export interface ConsumeParams {
  readonly queues: readonly string[];
  /** Of these, those that could not be declared, and why: left out, which is said, and tried again, as after a loss (RabbitMQ). Default: none. */
  readonly refused?: ReadonlyMap<string, Error>;
  /** Most unsettled, undeferred deliveries held at one time; 0 = unlimited. */
  readonly prefetch: number;
  /** Not one message more, not even for the moment in which the prefetch becomes less: what is acknowledged after that makes no room before it. */
  readonly exact?: boolean;
  /**
   * What is delivered counts as settled: there is nothing to acknowledge, and `prefetch` must be 0. RabbitMQ forgets a message as it sends it; with
   * the others one whose acknowledgement was lost may come again.
   */
  readonly noAck?: boolean;
  /** Called once per delivery, in the broker's order. Must not throw. */
  onDelivery(delivery: Delivery): void;
  /** The broker took these deliveries away (lease or connection lost): abort or forget them; settling them is 'stale'. */
  onLost(deliveries: readonly Delivery[]): void;
  /** `heldUntilMs` had passed and has moved on: what was lost meanwhile has been named, the rest is certainly held. */
  onHeld(): void;
}

/** A running consumption over any number of queues. */
export interface Subscription {
  ack(delivery: Delivery): Promise<SettleOutcome>;
  reject(delivery: Delivery, options: RejectOptions): Promise<SettleOutcome>;
  /** Give it back until `dueAtMs` (unix ms); it comes again as a fresh delivery, not marked redelivered. Does not count against the prefetch. */
  defer(delivery: Delivery, dueAtMs: number): Promise<SettleOutcome>;
  /** `setAside`: so many of those held do not count, because they wait for something else than room. */
  setPrefetch(count: number, setAside?: number): void;
  addQueue(queue: string): Promise<void>;
  cancelQueue(queue: string): Promise<void>;
  /** Queues now consumed from, as far as the broker lets it. */
  readonly queues: readonly string[];
  /** Of these, those that the broker does not let it consume from for now. Without it: none. */
  readonly refusedQueues?: readonly string[];
  /**
   * Until then (Clock.monotonic of the system, one for all processes of the machine) nobody else can have what is held; Infinity where
   * nobody ever can. It moves on while the broker confirms that we live, and passes when it does not: a lost connection does not shorten it.
   */
  readonly heldUntilMs: number;
  /** No new deliveries until `resume`; held ones stay valid. */
  pause(): void;
  resume(): void;
  /** It would take a message now if it got one: neither paused nor cancelled, and room under the prefetch. */
  readonly hasRoom: boolean;
  /**
   * Grows with every answer to it: messages taken (delivered or set aside), queues found empty, a refusal that was logged. One that
   * stands still while messages are ready and there is room has come to a standstill.
   */
  readonly activity: number;
  /** Milliseconds that the quickest of its latest requests to the broker took. Without it: there is no way to go. */
  readonly roundTripMs?: number;
  /** Why the broker gave no message when it was last asked, as it says it; null: it did not refuse. Without it: it never does. */
  readonly refusal?: string | null;
  /**
   * Ready messages that nobody but this subscription should be keeping waiting. Without it: all that are ready in its queues, because whoever has
   * room gets one.
   */
  countOwed?(): Promise<number>;
  /**
   * Messages whose time has not come, at most so many, the next ones first: those this subscription has deferred, or, where what waits belongs
   * to nobody, all that wait in its queues.
   */
  scheduled(limit: number): Promise<readonly ScheduledMessage[]>;
  /** Take messages anew, on the connection there is, whatever it was waiting for. Held deliveries stay valid; nothing is delivered twice. */
  rebuild(): Promise<void>;
  /** Stop delivering for good. Unsettled deliveries stay valid until `release` or settlement (a warm shutdown needs them). */
  cancel(): Promise<void>;
  /** Give every unsettled delivery back, in order, redeliverable at once. Implies `cancel`. */
  release(): Promise<void>;
}

/** A broadcast or reply listener: no acknowledgement, nothing kept for absent listeners. */
export interface ListenParams {
  readonly exchange: string;
  readonly exchangeType: ExchangeType;
  /** Binding key; '#' and '*' as in AMQP topics. */
  readonly routingKey: string;
  /** The exchange outlives a restart of the server. Default, as Celery has them: topic exchanges do, others do not. */
  readonly exchangeDurable?: boolean;
  /** A queue with a name that people know, where the broker has queues for listeners: shared with whoever listens under that name. */
  readonly queue?: ListenerQueue;
  onMessage(message: Message, routingKey: string): void;
}

export interface ListenerQueue {
  readonly name: string;
  /** Forgotten when nobody has read from it for so long. */
  readonly expiresMs: number;
  readonly messageTtlMs: number;
  /** Somebody else reads from it already: each message goes to one of us. */
  onShared(): void;
}

export interface Listener {
  stop(): Promise<void>;
}

export type BrokerState = 'stopped' | 'connecting' | 'connected' | 'lost';

export interface BrokerFeatures {
  /** Which priority number is consumed first: RabbitMQ 9, Redis 0. */
  readonly priorityOrder: 'higher-first' | 'lower-first';
  /** The broker itself holds back messages that are not due. */
  readonly delayedDelivery: boolean;
  /** `deliveryCount` is a number. */
  readonly countsDeliveries: boolean;
  /** Deliveries lost with a connection come again, to anybody (RabbitMQ). Otherwise what is lost has been given to somebody (a lease ran out). */
  readonly redelivers?: boolean;
  /** Other processes can use the same broker (memory cannot). */
  readonly shared: boolean;
  /** What a Python worker holds for longer goes to somebody else as well; null: it does not for that. */
  readonly visibilityTimeoutMs: number | null;
}

export interface Broker {
  /** For people: password masked. */
  readonly displayUrl: string;
  /** The one of several servers that it is connected with; otherwise `displayUrl`. */
  readonly where: string;
  readonly features: BrokerFeatures;
  readonly state: BrokerState;
  /** Why it is connected and takes no messages for the moment, as it says it; null: it takes them. Without it: it always does. */
  readonly blocked?: string | null;
  /** Called when that has begun or ended; not when it ends with the connection. Returns what ends it. */
  onBlocked?(listener: () => void): () => void;
  /** Connect. Rejects with BROKER_UNAVAILABLE. */
  start(): Promise<void>;
  /** Flush what was promised, then disconnect. Idempotent, safe before `start`. */
  stop(): Promise<void>;
  /** Returns what ends it. */
  onStateChange(listener: (state: BrokerState, cause: Error | null) => void): () => void;
  /** Give up a connection that looks well and make another: 'lost', with all that a loss means, then 'connected'. Only when connected. */
  reconnect(reason: string): void;
  /** `forSending`: one that is exclusive to somebody else is there, and one that is to be exclusive is left to who will consume from it. */
  declareQueue(queue: QueueDeclaration, forSending?: boolean): Promise<void>;
  /** For whoever publishes to an exchange that nobody may have bound a queue to yet. Where exchanges are only names there is nothing to do. */
  declareExchange(exchange: string, type: ExchangeType, durable: boolean): Promise<void>;
  deleteQueue(name: string): Promise<void>;
  /** Messages removed: all that nobody holds, with those that the broker itself keeps until they are due. */
  purgeQueue(name: string): Promise<number>;
  /** Ready messages (neither held by a consumer nor waiting for a due time). */
  countReady(name: string): Promise<number>;
  /** Resolves when the broker has it for good. A message nobody is bound to is dropped, as in AMQP. */
  publish(message: Message, destination: Destination): Promise<void>;
  /** The first delivery comes in a later turn of the event loop than the one in which this resolves. */
  consume(params: ConsumeParams): Promise<Subscription>;
  listen(params: ListenParams): Promise<Listener>;
  /** What its place is like, for `umbel doctor`. Needs no `start`, and changes nothing. Rejects as `start` does. */
  diagnose(params: DiagnosisParams): Promise<BrokerReport>;
  /** For operators: what there is, and the operations of AMQP one by one. Whoever opens it closes it. */
  openOperatorChannel(): Promise<OperatorChannel>;
}
