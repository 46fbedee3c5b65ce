/**
 * What a worker has to do with other workers: it mingles with them at its start and when the broker is back, and gossips while it runs.
 *
 * Owns when that happens; a broker that ends with this process has no neighbours.
 */
import type { ResultBackend } from '../backend/backend.ts';
import { startChords } from '../backend/start-chords.ts';
import type { Broker } from '../broker/broker.ts';
import { Application } from '../canvas/application.ts';
import { messageOfTask } from '../client/task-of-signature.ts';
import type { Settings } from '../config/settings-table.ts';
import { patiently } from '../consumer/patient-start.ts';
import type { Revokes } from '../consumer/revokes.ts';
import { CommandFailure } from '../control/command-failure.ts';
import { ControlClient } from '../control/control-client.ts';
import { mingle } from '../control/mingle.ts';
import { isSqliteUrl } from '../driver/sqlite-url.ts';
import { messageOf, UmbelError } from '../errors.ts';
import type { EventDispatcher } from '../event/dispatcher.ts';
import { Gossip } from '../event/gossip.ts';
import type { Component } from '../lifecycle/component.ts';
import type { Logger } from '../log/logger.ts';
import type { Producer } from '../producer/producer.ts';
import type { LamportClock } from '../std/lamport-clock.ts';
import { newUuid } from '../std/new-uuid.ts';
import { dispensable } from './dispensable.ts';

export interface NeighboursParams {
  readonly settings: Settings;
  readonly nodeName: string;
  readonly broker: Broker;
  readonly backend: ResultBackend | null;
  readonly producer: Producer;
  readonly dispatcher: EventDispatcher;
  readonly logicalClock: LamportClock;
  readonly log: Logger;
}

/** Python's worker answers from its event loop, which may be busy. */
const helloTimeoutMs = 1000;
/** On a file all neighbours are ours and on this machine. */
const embeddedHelloTimeoutMs = 250;

export class Neighbours {
  readonly #params: NeighboursParams;
  readonly #gossip: Gossip | null;

  constructor(params: NeighboursParams) {
    const { settings, nodeName, broker, dispatcher, logicalClock, log } = params;
    this.#params = params;
    this.#gossip =
      settings.worker_enable_gossip && broker.features.shared
        ? new Gossip({
            receiver: {
              broker,
              exchange: settings.event_exchange,
              acceptContent: settings.accept_content,
              logicalClock,
              queuePrefix: settings.event_queue_prefix,
              queueTtlMs: settings.worker_heartbeat_interval * 1000,
              queueExpiresMs: settings.event_queue_expires * 1000,
              log,
            },
            nodeName,
            pid: process.pid,
            log,
            send: (type, fields) => dispatcher.send(type, fields),
            elected: (topic, action) => void this.#carryOut(topic, action),
          })
        : null;
  }

  /** Before the first task is taken: one that is revoked must not run. */
  mingling(revokes: Revokes): Component {
    const { settings, nodeName, broker, logicalClock, log } = this.#params;
    if (!settings.worker_enable_mingle || !broker.features.shared) return nothing('mingle');
    const client = new ControlClient({
      broker,
      namespace: settings.control_exchange,
      acceptContent: settings.accept_content,
      logicalClock,
      log,
    });
    const { broker_url: url } = settings;
    const timeoutMs = url === null || isSqliteUrl(url) ? embeddedHelloTimeoutMs : helloTimeoutMs;
    const ask = (): Promise<void> =>
      mingle({
        client,
        nodeName,
        logicalClock,
        timeoutMs,
        log,
        revokedTimes: () => revokes.times(),
        learnRevoked: (revoked) => void revokes.learn(revoked),
      }).finally(() => client.stop());
    let running = false;
    broker.onStateChange((state) => {
      if (state === 'connected' && running) void ask();
    });
    return {
      name: 'mingle',
      start: async () => {
        await patiently(broker, () => unbroken(broker, ask));
        running = true;
      },
      stop: async () => {
        running = false;
        await client.stop();
      },
    };
  }

  get gossiping(): Component {
    const { broker, log } = this.#params;
    if (this.#gossip === null) return nothing('gossip');
    return dispensable({ broker, without: 'This worker hears nothing of others', log }, this.#gossip);
  }

  /** Throws CommandFailure. */
  election(id: string, topic: string, action: unknown): void {
    if (this.#gossip === null) throw new CommandFailure('RuntimeError', 'this worker does not gossip');
    this.#gossip.election(id, topic, action);
  }

  async #carryOut(topic: string, action: unknown): Promise<void> {
    const { log } = this.#params;
    try {
      if (topic === 'task') await this.#call(action);
      else log.error('gossip.unknown-topic', `Unknown election topic '${topic}'`, { topic });
    } catch (error) {
      log.error('gossip.task-failed', `Could not call task: ${messageOf(error)}`);
    }
  }

  /** All of a workflow is written before any of it is sent. */
  async #call(signature: unknown): Promise<void> {
    const { producer, backend, settings, nodeName } = this.#params;
    const context = { origin: `${process.pid}@${nodeName}`, nowMs: Date.now(), stampedHeaders: [], stamps: {}, replyTo: null };
    const application = new Application(context, newUuid);
    application.send(signature, {}, 'the action of an election');
    const messages = application.publish.map((task) => messageOfTask(task, settings.task_protocol === 1 ? 1 : 2));
    const chords = application.publish.flatMap((task) => task.chords ?? []);
    if (chords.length > 0) await startChords(backend, chords);
    await Promise.all(messages.map(({ message, request }) => producer.publish(message, request)));
  }
}

/** Rejects with BROKER_LOST when the connection breaks meanwhile: who was asked, or has answered, may not have been heard. */
async function unbroken(broker: Broker, ask: () => Promise<void>): Promise<void> {
  let broke = false;
  const unlisten = broker.onStateChange(() => {
    broke = true;
  });
  await ask().finally(unlisten);
  if (broke) throw new UmbelError('BROKER_LOST', 'the connection to the broker broke while the neighbours were asked');
}

function nothing(name: string): Component {
  return { name, start: async () => {}, stop: async () => {} };
}
