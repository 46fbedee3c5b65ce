/** A connection to the model of RabbitMQ, and a subscription over it; the test cuts it and lets it come back. */
import type { DelayQueues } from '../../../src/broker/amqp/delay-queues.ts';
import { AmqpSubscription } from '../../../src/broker/amqp/subscription.ts';
import type { Topology } from '../../../src/broker/amqp/topology.ts';
import type { ConsumeParams, Delivery } from '../../../src/broker/broker.ts';
import type { AmqpConnection } from '../../../src/driver/amqp.ts';
import type { AmqpChannel } from '../../../src/driver/amqp-channel.ts';
import { AmqpFailure } from '../../../src/driver/amqp-failure.ts';
import type { Clock } from '../../../src/std/clock.ts';
import { RecordingLog } from '../../driver/recording-log.ts';
import { ModelServer } from './model-server.ts';

const turn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

interface SubscribeParams {
  readonly consume: ConsumeParams;
  readonly clock: Clock;
  readonly holdDeferredMs: number;
  park(delivery: Delivery): Promise<void>;
  ended(): void;
}

export class ModelConnection {
  readonly server = new ModelServer();
  readonly heartbeatSeconds = 0;
  state: 'connected' | 'lost' = 'connected';
  readonly connectTimeoutMs = 4000;
  /** Why it was given up from this side. */
  readonly givenUp: string[] = [];
  epoch = 1;

  async openChannel(): Promise<AmqpChannel> {
    await turn();
    this.#mustBeUp();
    if (this.server.nextUnanswered === 'opening') {
      this.server.nextUnanswered = null;
      // The driver rejects it when the connection ends; the subscription must not need that.
      return new Promise(() => {});
    }
    return this.server.open().driver;
  }

  /** false: it was. */
  cut(): boolean {
    if (!this.server.up) return false;
    this.state = 'lost';
    this.server.cut();
    return true;
  }

  /** The subscription gives it up. */
  reconnect(reason: string): void {
    this.givenUp.push(reason);
    this.cut();
  }

  /** false: it is there. */
  comeBack(): boolean {
    if (this.server.up) return false;
    this.server.up = true;
    this.state = 'connected';
    this.epoch += 1;
    return true;
  }

  subscribe(params: SubscribeParams): AmqpSubscription {
    const ensure = async (): Promise<void> => this.#mustBeUp();
    const topology = {
      ensure,
      answers: 0,
      declaration: (name: string) => ({ name }),
      hasSingleActiveConsumer: () => false,
      isAutoDelete: () => false,
    };
    return new AmqpSubscription({
      ...params,
      connection: this as unknown as AmqpConnection,
      topology: topology as unknown as Topology,
      onDeclaredAgain: async () => {},
      delayQueues: { park: params.park } as unknown as DelayQueues,
      countsPerConsumer: () => false,
      nextEpoch: () => this.server.channels.length,
      log: new RecordingLog(),
    });
  }

  /** Frames arrive, so many of each channel, and messages leave their queues. */
  arrivals(atServer: number, atClient: number): void {
    for (const channel of this.server.channels) {
      for (let count = 0; count < atServer; count++) channel.arriveAtServer();
      for (let count = 0; count < 3; count++) channel.push();
      for (let count = 0; count < atClient; count++) channel.arriveAtClient();
    }
  }

  #mustBeUp(): void {
    if (!this.server.up) throw new AmqpFailure('lost', 'there is no connection');
  }
}
