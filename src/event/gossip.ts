/**
 * Gossip: a worker listens to the other workers. Their clocks move its own, it knows who lives, and they elect one of themselves when told to.
 *
 * Owns the listener, what is known of the neighbours, and the look for those that have fallen silent. Source: protocol notes, events.md §2 and §4, control.md §5; the log lines are Celery's.
 */
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';
import { type Clock, systemClock, type Timer } from '../std/clock.ts';
import { Elections } from './election.ts';
import { EventReceiver, type EventReceiverParams, type ReceivedEvent } from './receiver.ts';
import { State } from './state.ts';
import type { WorkerState } from './worker-state.ts';

export interface GossipParams {
  readonly receiver: Omit<EventReceiverParams, 'routingKey' | 'onEvent'>;
  readonly nodeName: string;
  readonly pid: number;
  readonly log: Logger;
  readonly clock?: Clock;
  send(type: string, fields: Readonly<Record<string, unknown>>): void;
  /** We have been elected to do this. */
  elected(topic: string, action: unknown): void;
}

const intervalMs = 5000;

export class Gossip implements Component {
  readonly name = 'gossip';
  readonly #params: GossipParams;
  readonly #clock: Clock;
  readonly #state: State;
  readonly #receiver: EventReceiver;
  readonly #elections: Elections;
  #timer: Timer | undefined;

  constructor(params: GossipParams) {
    const { receiver, nodeName, pid, log, send, elected } = params;
    this.#params = params;
    this.#clock = params.clock ?? systemClock;
    this.#state = new State({
      maxTasks: 1,
      clock: this.#clock,
      log,
      onNodeJoin: ({ hostname }) => log.debug('gossip.joined', `${hostname} joined the party`, { hostname }),
      onNodeLeave: ({ hostname }) => log.debug('gossip.left', `${hostname} left`, { hostname }),
    });
    this.#receiver = new EventReceiver({ ...receiver, routingKey: 'worker.#', onEvent: (event) => this.#onEvent(event) });
    this.#elections = new Elections({
      node: `${nodeName}.${pid}`,
      log,
      clock: this.#clock,
      peers: () => this.#state.aliveWorkers().length,
      send,
      won: elected,
    });
  }

  /** Neighbours that live. */
  get peers(): WorkerState[] {
    return this.#state.aliveWorkers();
  }

  async start(): Promise<void> {
    await this.#receiver.start();
    this.#arm();
  }

  async stop(): Promise<void> {
    this.#clock.clearTimer(this.#timer);
    this.#elections.stop();
    await this.#receiver.stop();
  }

  election(id: string, topic: string, action: unknown): void {
    this.#elections.call(id, topic, action);
  }

  #onEvent(event: ReceivedEvent): void {
    // Our own votes count; what else we say of ourselves we know.
    if (event.type === 'worker-elect') this.#elections.onElect(event);
    else if (event.type.startsWith('worker-') && event.type !== 'worker-elect-ack' && event.hostname !== this.#params.nodeName)
      this.#state.event(event);
  }

  #arm(): void {
    this.#timer = this.#clock.setTimer(
      () => {
        this.#forgetSilent();
        this.#arm();
      },
      intervalMs,
      { ref: false },
    );
  }

  #forgetSilent(): void {
    for (const worker of [...this.#state.workers.values()]) {
      if (this.#state.isAlive(worker)) continue;
      const { hostname } = worker;
      this.#params.log.info('gossip.lost', `missed heartbeat from ${hostname}`, { hostname });
      this.#state.forgetWorker(hostname);
    }
  }
}
