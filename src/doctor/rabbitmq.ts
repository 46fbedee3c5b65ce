/** A RabbitMQ server beside what the worker needs of it. */
import type { QueueDeclaration } from '../broker/broker.ts';
import type { RabbitmqReport } from '../broker/broker-report.ts';
import { type Finding, found } from './finding.ts';
import type { TaskTimes } from './limits.ts';
import { placeOf, placeOfQueue, type Subject } from './subject.ts';

/** From 3.8.15 on there is one; AMQP does not tell it. */
const defaultConsumerTimeoutSeconds = 1800;
const oldestKept = { major: 3, minor: 8 };

export interface RabbitmqParams {
  /** Said by the operator; null: the server's default. Infinity: there is none. */
  readonly consumerTimeoutSeconds: number | null;
  readonly times: readonly TaskTimes[];
}

export function* rabbitmqBroker(subject: Subject, report: RabbitmqReport, params: RabbitmqParams): Iterable<Finding> {
  const place = placeOf(subject, 'broker_url');
  const { product, version, majorVersion, minorVersion } = report.server;
  if (product === 'RabbitMQ' && (majorVersion < oldestKept.major || (majorVersion === oldestKept.major && minorVersion < oldestKept.minor)))
    yield found('RABBITMQ_OLD', `RabbitMQ should be version 3.8 or later, got ${version} (${report.displayUrl})`, place);
  if (report.blocked !== null)
    yield found('RABBITMQ_BLOCKED', `RabbitMQ must take messages, got an alarm: ${report.blocked} (${report.displayUrl})`, place);
  if (report.publishRefusal !== null)
    yield found('SERVER_REFUSES_RIGHTS', `the user must be allowed to publish: ${report.publishRefusal}`, place);
  yield* queuesOfReport(subject, report);
  if (majorVersion === 3 && minorVersion < 8) return;
  yield* consumerTimeout(subject, params, place);
}

function* queuesOfReport(subject: Subject, report: RabbitmqReport): Iterable<Finding> {
  const place = placeOf(subject, 'broker_url');
  const { queues } = subject.names;
  for (const queue of report.queues) {
    const declared = queues.find(({ name }) => name === queue.name);
    const own = (path: readonly string[] = []): string => (declared === undefined ? place : placeOfQueue(subject, declared, path));
    if (queue.name.startsWith('amq.') && declared?.noDeclare !== true)
      yield found(
        'RABBITMQ_RESERVED_NAME',
        `the name of a queue that is declared must not begin with 'amq.', which RabbitMQ keeps for itself, got queue ${queue.name}`,
        own(),
      );
    if (queue.difference !== null)
      yield found('RABBITMQ_DIFFERS', `queue ${queue.name} must be on the server as it is configured: ${queue.difference}`, own());
    if (queue.denied !== null)
      yield found('SERVER_REFUSES_RIGHTS', `the user must be allowed to declare queue ${queue.name}: ${queue.denied}`, place);
    if (queue.consumeRefusal !== null)
      yield found('SERVER_REFUSES_RIGHTS', `the user must be allowed to consume from queue ${queue.name}: ${queue.consumeRefusal}`, place);
    if (!queue.exists && declared?.noDeclare === true)
      yield found('RABBITMQ_NO_QUEUE', `queue ${queue.name} must be on the server, because it is not declared here (no_declare)`, own());
    if (report.server.majorVersion >= 4 && declared?.durable === false && declared.exclusive !== true)
      yield found('RABBITMQ_TRANSIENT_QUEUE', `a queue must be durable or exclusive from RabbitMQ 4 on, got queue ${queue.name}`, own());
    const target = queue.deadLetterQueue;
    // One that is taken from here is declared when the worker starts.
    if (target !== null && !target.exists && !queues.some(({ name, noDeclare }) => name === target.name && noDeclare !== true))
      yield found(
        'DEAD_LETTERS_NOWHERE',
        `the queue that dead letters of queue ${queue.name} go to must be on the server, got none called ${target.name}`,
        own(['queue_arguments', 'x-dead-letter-routing-key']),
      );
  }
  for (const exchange of report.exchanges) {
    const users = queues.filter((queue) => usesExchange(queue, exchange.name));
    const [user] = users;
    if (exchange.difference !== null)
      yield found(
        'RABBITMQ_DIFFERS',
        `exchange ${exchange.name} must be on the server as it is configured: ${exchange.difference}`,
        user === undefined ? place : placeOfQueue(subject, user),
      );
    // The exchange of a queue is declared by its worker; nobody declares those of dead letters.
    if (exchange.exists || users.some(({ noDeclare }) => noDeclare !== true)) continue;
    for (const queue of queues)
      if (queue.arguments?.['x-dead-letter-exchange'] === exchange.name)
        yield found(
          'DEAD_LETTERS_NOWHERE',
          `the dead-letter exchange of queue ${queue.name} must be on the server, got none called ${exchange.name}`,
          placeOfQueue(subject, queue, ['queue_arguments', 'x-dead-letter-exchange']),
        );
  }
}

function usesExchange({ name, exchange = name, bindings = [] }: QueueDeclaration, wanted: string): boolean {
  return exchange === wanted || bindings.some((one) => one.exchange === wanted);
}

function* consumerTimeout(subject: Subject, { consumerTimeoutSeconds, times }: RabbitmqParams, place: string): Iterable<Finding> {
  const {
    worker_prefetch_multiplier: multiplier,
    worker_disable_prefetch: noReserve,
    broker_park_after_seconds: park,
  } = subject.config.settings;
  const timeout = consumerTimeoutSeconds ?? defaultConsumerTimeoutSeconds;
  const known =
    consumerTimeoutSeconds === null ? `${timeout} s, RabbitMQ's default; AMQP does not tell what the server has` : `${timeout} s`;
  if (park >= timeout)
    yield found(
      'PARK_BEYOND_CONSUMER_TIMEOUT',
      `broker.park_after_seconds must be below the consumer timeout (${known}), got ${park} s`,
      placeOf(subject, 'broker_park_after_seconds'),
    );
  const late = times.filter(({ acksLate, hardSeconds }) => acksLate && hardSeconds !== null && hardSeconds >= timeout);
  for (const { task, hardSeconds } of late)
    yield found(
      'LIMIT_BEYOND_CONSUMER_TIMEOUT',
      `the time limit of ${task ?? 'tasks'} that are acknowledged late must be below the consumer timeout (${known}), got ${hardSeconds} s`,
      hardSeconds === subject.config.settings.task_time_limit ? placeOf(subject, 'task_time_limit') : place,
    );
  if (late.length > 0 || noReserve) return;
  const longest = Math.max(0, ...times.map(({ hardSeconds }) => hardSeconds ?? 0));
  const waits = Math.max(0, multiplier - 1) * longest;
  if (waits > timeout)
    yield found(
      'PREFETCH_BEYOND_CONSUMER_TIMEOUT',
      `a message held in reserve must begin within the consumer timeout (${known}), got ${multiplier - 1} tasks of up to ${longest} s before it`,
      placeOf(subject, 'worker_prefetch_multiplier'),
    );
}
