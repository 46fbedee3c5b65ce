/**
 * Events as a part of a worker: its logical clock, the dispatcher, the heartbeat, and whether task events are wanted.
 *
 * Task events are on with `-E`, for good; otherwise remote control switches them. Source: protocol notes, events.md §2 and control.md §5.
 */
import type { ResultBackend } from '../backend/backend.ts';
import type { Broker } from '../broker/broker.ts';
import type { Settings } from '../config/settings-table.ts';
import type { CustomEvents } from '../consumer/parent-asks.ts';
import type { Revokes } from '../consumer/revokes.ts';
import type { TaskEvents } from '../consumer/task-news.ts';
import type { EventsSwitch } from '../control/control-surface.ts';
import { EventDispatcher } from '../event/dispatcher.ts';
import { Heartbeat } from '../event/heartbeat.ts';
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';
import type { Producer } from '../producer/producer.ts';
import type { PlainFields } from '../protocol/gathered-events.ts';
import type { TaskHeader } from '../protocol/task-message.ts';
import type { StateDb } from '../statedb/state-db.ts';
import { LamportClock } from '../std/lamport-clock.ts';
import { Neighbours } from './neighbours.ts';

export interface MonitoringParams {
  readonly settings: Settings;
  readonly nodeName: string;
  readonly broker: Broker;
  readonly stateDb: StateDb;
  readonly backend: ResultBackend | null;
  readonly producer: Producer;
  readonly log: Logger;
  work(): Work;
}

export interface Work {
  /** Tasks running now. */
  readonly active: number;
  /** Tasks started, by name. */
  readonly totals: ReadonlyMap<string, number>;
}

export class Monitoring implements TaskEvents, CustomEvents {
  readonly clock: LamportClock;
  readonly neighbours: Neighbours;
  readonly #params: MonitoringParams;
  readonly #dispatcher: EventDispatcher;
  readonly #heartbeat: Heartbeat;
  /** With -E nobody can switch them off. */
  readonly #always: boolean;
  #enabled: boolean;

  constructor(params: MonitoringParams) {
    const { settings, nodeName, broker, backend, producer, stateDb, log } = params;
    this.#params = params;
    this.clock = new LamportClock((value) => {
      stateDb.logicalClock = value;
    });
    this.#dispatcher = new EventDispatcher({
      broker,
      origin: { hostname: nodeName, pid: process.pid },
      logicalClock: this.clock,
      exchange: settings.event_exchange,
      log,
    });
    const dispatcher = this.#dispatcher;
    if (settings.task_send_sent_event) producer.onSent((sent) => dispatcher.sent(sent));
    this.neighbours = new Neighbours({ settings, nodeName, broker, backend, producer, dispatcher, logicalClock: this.clock, log });
    this.#heartbeat = new Heartbeat({
      dispatcher: this.#dispatcher,
      intervalMs: settings.worker_heartbeat_interval * 1000,
      active: () => params.work().active,
      processed: () =>
        params
          .work()
          .totals.values()
          .reduce((sum, count) => sum + count, 0),
    });
    this.#always = settings.worker_send_task_events;
    this.#enabled = this.#always;
  }

  /** What the broker took to confirm the last event, a heartbeat as a rule; null: none was sent. */
  get brokerRoundTripMs(): number | null {
    return this.#dispatcher.roundTripMs;
  }

  get enabled(): boolean {
    return this.#enabled;
  }

  received(task: TaskHeader): void {
    this.#dispatcher.received(task);
  }

  started(taskId: string): void {
    this.#dispatcher.started(taskId);
  }

  succeeded(taskId: string, result: string, runtimeSeconds: number): void {
    this.#dispatcher.succeeded(taskId, result, runtimeSeconds);
  }

  task(type: string, fields: PlainFields): void {
    this.#dispatcher.task(type, fields);
  }

  /** Of a task's own, whether events of tasks are wanted or not: its author has asked for it. */
  custom(type: string, fields: Readonly<Record<string, unknown>>, pid: number): void {
    this.#dispatcher.send(type, fields, { hostname: this.#params.nodeName, pid });
  }

  /** Before the consumer: what is revoked is known, what is received is told. Behind it in stopping: so is what ends. */
  beforeConsumer(revokes: Revokes): Component[] {
    return [this.#dispatching, this.neighbours.mingling(revokes)];
  }

  /** Once tasks are taken. */
  get afterConsumer(): Component[] {
    return [this.neighbours.gossiping, this.#beating];
  }

  get #dispatching(): Component {
    const { stateDb } = this.#params;
    return {
      name: 'events',
      start: async () => {
        this.clock.adjust(stateDb.logicalClock);
        this.#dispatcher.start();
      },
      stop: () => this.#dispatcher.stop(),
    };
  }

  get #beating(): Component {
    const wanted = this.#params.settings.worker_enable_heartbeat;
    return wanted ? this.#heartbeat : { name: 'heartbeat', start: async () => {}, stop: async () => {} };
  }

  beat(): void {
    this.#heartbeat.beat();
  }

  switchOn(): EventsSwitch {
    return this.#switch(true);
  }

  switchOff(): EventsSwitch {
    return this.#switch(false);
  }

  #switch(on: boolean): EventsSwitch {
    if (this.#always || this.#enabled === on) return 'unchanged';
    this.#enabled = on;
    this.#params.log.warning('events.switched', `Events of tasks ${on ? 'enabled' : 'disabled'} by remote.`);
    return 'changed';
  }
}
