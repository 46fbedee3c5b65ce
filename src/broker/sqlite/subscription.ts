/**
 * One consumption from queues of the embedded broker: claims, hands over, settles.
 *
 * Owns: what it holds, and the decision when to claim. Writes only through the store's group commit, so that the
 * acknowledgements of one turn and the claim that replaces them share a transaction.
 *
 * It claims when it has room and the last claim did not come back short (`#dry`); a dry one waits to be told of new rows.
 * Its own commits never wake it, so an idle worker is idle.
 */
import { randomUUID } from 'node:crypto';
import type { SqliteDatabase } from '../../driver/sqlite.ts';
import { type SqliteOperation, type SqliteStore, sqliteTopic } from '../../driver/sqlite-store.ts';
import { messageOf } from '../../errors.ts';
import type { Logger } from '../../log/logger.ts';
import { decodeEnvelope, encodeEnvelope } from '../../protocol/virtual-envelope.ts';
import { ChurnMap } from '../../std/churn-map.ts';
import type { ConsumeParams, Delivery, RejectOptions, ScheduledMessage, SettleOutcome, Subscription } from '../broker.ts';
import { JointSettlement } from './joint-settlement.ts';
import { type Lease, leaseExists } from './lease.ts';
import {
  addQueue,
  adoptForeignRows,
  type ClaimedRow,
  claimBatch,
  claimMessages,
  hasReady,
  type Settlement,
  scheduledRows,
} from './message-table.ts';
import { SettleBatch } from './settle-batch.ts';
import { brokerUnavailable } from './unavailable.ts';

interface Claimed {
  readonly queue: string;
  readonly row: ClaimedRow;
}

export interface SubscriptionParams {
  readonly store: SqliteStore;
  readonly lease: Lease;
  readonly log: Logger;
  readonly consume: ConsumeParams;
  /** It was cancelled and holds nothing. */
  ended(subscription: SqliteSubscription): void;
}

const stale: Promise<SettleOutcome> = Promise.resolve('stale');

export class SqliteSubscription implements Subscription {
  readonly #store: SqliteStore;
  readonly #lease: Lease;
  readonly #log: Logger;
  readonly #params: ConsumeParams;
  readonly #ended: (subscription: SqliteSubscription) => void;
  readonly #held = new ChurnMap<number, Delivery>();
  #queues: string[];
  /** The queue whose turn is next. */
  #turn = 0;
  #prefetch: number;
  #paused = false;
  #cancelled = false;
  #dry = false;
  /** The claim under way. */
  #claiming: SqliteOperation | null = null;
  #activity = 0;
  /** Why the last claim came to nothing; null: it did not fail. */
  #refusal: string | null = null;
  /** Changes when deliveries under way may have become unwelcome: pause, cancel, a queue cancelled. */
  #generation = 0;
  #batch: SettleBatch | null = null;

  constructor(params: SubscriptionParams) {
    this.#store = params.store;
    this.#lease = params.lease;
    this.#log = params.log;
    this.#params = params.consume;
    this.#ended = params.ended;
    this.#queues = [...new Set(params.consume.queues)];
    this.#prefetch = params.consume.prefetch;
  }

  get queues(): readonly string[] {
    return this.#queues;
  }

  get heldUntilMs(): number {
    return this.#lease.heldUntilMs;
  }

  get hasRoom(): boolean {
    return !this.#paused && !this.#cancelled && this.#room() > 0;
  }

  get refusal(): string | null {
    return this.#refusal;
  }

  get activity(): number {
    return this.#activity;
  }

  ack(delivery: Delivery): Promise<SettleOutcome> {
    return this.#settle(delivery, acked);
  }

  reject(delivery: Delivery, { requeue, headers }: RejectOptions): Promise<SettleOutcome> {
    if (!requeue || headers === undefined) return this.#settle(delivery, requeue ? requeued : acked);
    const { queue, exchange, routingKey, properties, body } = delivery;
    const message = { properties, headers, body };
    const payload = encodeEnvelope(message, { exchange, routingKey, deliveryTag: randomUUID(), redelivered: true });
    return this.#settle(delivery, { kind: 'replace', queue, payload, priority: properties.priority ?? 0 });
  }

  defer(delivery: Delivery, dueAtMs: number): Promise<SettleOutcome> {
    return this.#settle(delivery, { kind: 'defer', dueAtMs: Math.ceil(dueAtMs) });
  }

  async scheduled(limit: number): Promise<ScheduledMessage[]> {
    const rows = await this.#store.read((database) => scheduledRows(database, this.#queues, limit));
    return rows.flatMap(({ payload, dueAtMs }) => {
      try {
        const { message, exchange, routingKey } = decodeEnvelope(payload);
        return [{ ...message, exchange, routingKey, dueAtMs }];
      } catch {
        // It is said when it is due.
        return [];
      }
    });
  }

  setPrefetch(count: number, setAside = 0): void {
    this.#prefetch = count === 0 ? 0 : count + setAside;
    this.claim();
  }

  async addQueue(queue: string): Promise<void> {
    await this.#inStore((database) => addQueue(database, queue));
    if (this.#cancelled || this.#queues.includes(queue)) return;
    this.#queues = [...this.#queues, queue];
    this.#dry = false;
    this.claim();
  }

  async cancelQueue(queue: string): Promise<void> {
    this.#queues = this.#queues.filter((name) => name !== queue);
    this.#generation++;
  }

  pause(): void {
    this.#paused = true;
    this.#generation++;
  }

  resume(): void {
    this.#paused = false;
    this.#dry = false;
    this.claim();
  }

  /** A claim under way takes nothing any more, unless it has. */
  async rebuild(): Promise<void> {
    if (this.#lease.id === null) this.#lease.renew();
    this.#claiming = null;
    this.#dry = false;
    this.claim();
  }

  async cancel(): Promise<void> {
    this.#end();
    this.#maybeEnded();
  }

  /** Enqueues everything before it returns. */
  async release(): Promise<void> {
    this.#end();
    const deliveries = [...this.#held.values()];
    this.#held.clear();
    await Promise.all(deliveries.map((delivery) => this.#enqueue(Number(delivery.tag), delivery.epoch, requeued)));
    this.#maybeEnded();
  }

  /** The lease is lost, and with it everything held. */
  lost(): void {
    const deliveries = [...this.#held.values()];
    this.#held.clear();
    if (deliveries.length > 0) this.#params.onLost(deliveries);
    this.#maybeEnded();
  }

  /** `heldUntilMs` had passed and has moved on. */
  held(): void {
    this.#params.onHeld();
  }

  /** There may be new rows (a publish here, a commit elsewhere). */
  wake(): void {
    if (!this.#dry || this.#paused || this.#cancelled) return;
    // A look before the write lock: most commits of other workers are acknowledgements.
    this.#dry = !this.#queues.some((queue) => this.#store.peek((database) => hasReady(database, queue), true));
    if (this.#dry) this.#activity++;
    this.claim();
  }

  /** There is a (new) lease, or the file is back: what is known about the queues is old. */
  resumeClaims(): void {
    this.#dry = false;
    this.claim();
  }

  /** Claim in the next transaction, if there is room and reason. */
  claim(): void {
    if (this.#claiming !== null || this.#dry || this.#paused || this.#cancelled || this.#queues.length === 0) return;
    if (this.#room() <= 0 || this.#lease.id === null || this.#store.state !== 'open') return;
    this.#claiming = this.#claimOperation();
    this.#store.enqueue(this.#claiming);
  }

  #room(): number {
    return this.#prefetch === 0 ? claimBatch : Math.min(claimBatch, this.#prefetch - this.#held.size);
  }

  #claimOperation(): SqliteOperation {
    let claimed: Claimed[] = [];
    let owner: number | null = null;
    let room = 0;
    const ended = (): void => {
      if (this.#claiming === operation) this.#claiming = null;
    };
    const operation: SqliteOperation = {
      topics: 0,
      keep: false,
      run: (database) => {
        claimed = [];
        room = this.#claiming === operation ? this.#room() : 0;
        owner = this.#lease.id;
        if (room <= 0 || this.#paused || this.#cancelled || owner === null) return;
        if (!leaseExists(database, owner)) {
          owner = null;
          return;
        }
        adoptForeignRows(database);
        claimed = this.#claimFairly(database, owner, room);
      },
      committed: () => {
        ended();
        if (owner === null) {
          this.#lease.renew();
          return;
        }
        this.#refusal = null;
        if (room > 0) this.#activity++;
        this.#dry = claimed.length < room;
        this.#handOver(claimed, owner);
        this.claim();
      },
      failed: (failure) => {
        ended();
        // A file that fails as a whole has been reported, and its return wakes us. Anything else must be neither silent nor final.
        if (failure.kind !== 'statement') return;
        this.#dry = true;
        this.#activity++;
        this.#refusal = failure.message;
        this.#log.error('broker.claim-failed', `No message could be taken from ${this.#queues.join(', ')}: ${failure.message}`);
      },
    };
    return operation;
  }

  /** Every queue gets its share of the room first; what is left over goes to those that have more. */
  #claimFairly(database: SqliteDatabase, owner: number, room: number): Claimed[] {
    const queues = this.#queues;
    const count = queues.length;
    const only = queues[0];
    if (count === 1 && only !== undefined) return claimMessages(database, only, owner, room).map((row) => ({ queue: only, row }));
    const share = Math.ceil(room / count);
    const perQueue: Claimed[][] = [];
    let left = room;
    for (let pass = 0; pass < 2; pass++) {
      for (let step = 0; step < count && left > 0; step++) {
        const queue = queues[(this.#turn + step) % count];
        const have = perQueue[step] ?? [];
        perQueue[step] = have;
        if (queue === undefined || (pass === 1 && have.length < share)) continue;
        const rows = claimMessages(database, queue, owner, pass === 0 ? Math.min(share, left) : left);
        for (const row of rows) have.push({ queue, row });
        left -= rows.length;
      }
    }
    return interleave(perQueue);
  }

  #handOver(claimed: readonly Claimed[], owner: number): void {
    const generation = this.#generation;
    for (const { queue, row } of claimed) {
      const unwelcome = this.#generation !== generation && (this.#paused || this.#cancelled || !this.#queues.includes(queue));
      if (unwelcome) this.#quietly(row.id, owner, unclaimed);
      else this.#deliver(queue, row, owner);
    }
    const last = claimed.at(-1);
    if (last !== undefined) this.#turn = this.#queues.indexOf(last.queue) + 1;
    if (this.#generation !== generation) this.#dry = false;
  }

  #deliver(queue: string, row: ClaimedRow, owner: number): void {
    let delivery: Delivery;
    try {
      const { message, exchange, routingKey, redelivered } = decodeEnvelope(row.payload);
      delivery = {
        properties: message.properties,
        headers: message.headers,
        body: message.body,
        tag: row.id,
        queue,
        exchange,
        routingKey,
        redelivered: row.delivered > 0 || redelivered,
        deliveryCount: row.delivered,
        epoch: owner,
      };
    } catch (error) {
      this.#log.error('broker.undecodable', `Row ${row.id} of queue ${queue} was set aside (umbel_owner = 0): ${messageOf(error)}`);
      this.#quietly(row.id, owner, setAside);
      return;
    }
    this.#held.set(row.id, delivery);
    this.#params.onDelivery(delivery);
  }

  #settle(delivery: Delivery, settlement: Settlement): Promise<SettleOutcome> {
    const id = Number(delivery.tag);
    if (this.#held.get(id) !== delivery) return stale;
    const { removals } = this.#store;
    if (removals !== null) {
      const joint = new JointSettlement({ id, owner: delivery.epoch, settlement, done: () => this.#forget(id, delivery) });
      removals.push(joint);
      return joint.outcome;
    }
    this.#held.delete(id);
    const settled = this.#enqueue(id, delivery.epoch, settlement);
    if (this.#cancelled) this.#maybeEnded();
    else this.claim();
    return settled;
  }

  /** After a settlement that somebody else carried out. It may have been taken away meanwhile. */
  #forget(id: number, delivery: Delivery): void {
    if (this.#held.get(id) !== delivery) return;
    this.#held.delete(id);
    if (this.#cancelled) this.#maybeEnded();
    else this.claim();
  }

  #enqueue(id: number, owner: number, settlement: Settlement): Promise<SettleOutcome> {
    if (this.#batch === null) {
      const batch = new SettleBatch(() => {
        if (this.#batch === batch) this.#batch = null;
      });
      this.#batch = batch;
      this.#store.enqueue(batch);
    }
    return this.#batch.add(id, owner, settlement);
  }

  /** A settlement nobody waits for; when it fails, the lease gives the row back. */
  #quietly(id: number, owner: number, settlement: Settlement): void {
    this.#enqueue(id, owner, settlement).catch(() => {});
  }

  async #inStore(work: (database: SqliteDatabase) => void): Promise<void> {
    try {
      await this.#store.write(work, { topics: sqliteTopic.message });
    } catch (error) {
      throw brokerUnavailable(error);
    }
  }

  #end(): void {
    this.#cancelled = true;
    this.#generation++;
  }

  #maybeEnded(): void {
    if (this.#cancelled && this.#held.size === 0) this.#ended(this);
  }
}

const acked: Settlement = { kind: 'ack' };
const requeued: Settlement = { kind: 'requeue' };
const unclaimed: Settlement = { kind: 'unclaim' };
const setAside: Settlement = { kind: 'setAside' };

/** One of each in turn, until all are used up. */
function interleave(lists: readonly Claimed[][]): Claimed[] {
  const result: Claimed[] = [];
  const longest = Math.max(0, ...lists.map((list) => list.length));
  for (let at = 0; at < longest; at++) {
    for (const list of lists) {
      const claimed = list[at];
      if (claimed !== undefined) result.push(claimed);
    }
  }
  return result;
}
