/** Brokers on a test's RabbitMQ server, each with connections of its own, as in processes of their own. */
import { AmqpBroker, type AmqpBrokerOptions } from '../../../src/broker/amqp/amqp-broker.ts';
import type { AmqpConnectOptions } from '../../../src/driver/amqp.ts';
import { type AmqpPlace, amqpPlaceFromUrl } from '../../../src/driver/amqp-url.ts';
import type { Logger } from '../../../src/log/logger.ts';
import { type Clock, systemClock } from '../../../src/std/clock.ts';
import { RecordingLog } from '../../driver/recording-log.ts';

export interface PlaceOptions {
  readonly options?: AmqpBrokerOptions;
  readonly connection?: Partial<AmqpConnectOptions>;
  readonly log?: Logger;
  readonly clock?: Clock;
}

export function amqpPlace(url: string): AmqpPlace {
  const place = amqpPlaceFromUrl(url);
  if ('problem' in place) throw new Error(place.problem);
  return place;
}

/** What is tried again every five seconds is tried again every quarter of a second; all else takes its time. */
export const eagerClock: Clock = {
  ...systemClock,
  setTimer: (fire, ms, options) => systemClock.setTimer(fire, ms === 5000 ? 250 : ms, options),
};

/** Channels opened so far. */
export function channelsOf({ connection }: AmqpBroker): () => number {
  const open = connection.openChannel.bind(connection);
  let count = 0;
  connection.openChannel = (options) => {
    count += 1;
    return open(options);
  };
  return () => count;
}

/** The connection to publish over is made with the first message, and a busy machine may take its time for it: longer than a message would wait. */
const patience: AmqpBrokerOptions = { publishPatienceMs: 30_000 };

export function amqpBroker(url: string, params: PlaceOptions = {}): AmqpBroker {
  const { log = new RecordingLog(), options, ...others } = params;
  return new AmqpBroker({ place: amqpPlace(url), log, options: { ...patience, ...options }, ...others });
}
