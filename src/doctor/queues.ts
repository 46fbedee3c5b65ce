/** Queues and routes, as far as the configuration alone tells. */
import { isAmqpUrl } from '../driver/amqp-url.ts';
import type { TaskQueue } from '../producer/queue-table.ts';
import { type Finding, found } from './finding.ts';
import { placeOf, placeOfQueue, type Subject } from './subject.ts';

/** A queue that a route names, and that is neither declared nor consumed from by any of these workers. */
export function* routes(subjects: readonly Subject[]): Iterable<Finding> {
  const [first] = subjects;
  if (first === undefined) return;
  const { settings } = first.config;
  const known = new Set([settings.task_default_queue, ...Object.keys(settings.task_queues)]);
  for (const { names } of subjects) for (const queue of names.queues) known.add(queue.alias ?? queue.name);
  const unknown = new Set<string>();
  for (const router of settings.task_routes) {
    if (typeof router === 'string') continue;
    for (const [pattern, { queue }] of router) {
      if (queue === undefined || known.has(queue) || unknown.has(queue)) continue;
      unknown.add(queue);
      const text = `a route must lead to a queue that is declared or that a worker here takes tasks from, got ${queue} for ${pattern}`;
      yield found('ROUTE_TO_NOWHERE', text, placeOf(first, 'task_routes'));
    }
  }
}

/**
 * Messages that a queue rejects and that come back to it by way of dead-letter exchanges: RabbitMQ breaks such a circle only where no rejection
 * is part of it. A circle through a queue in which messages wait for their TTL is meant: it tries again later.
 */
export function* deadLetterCircles(subject: Subject): Iterable<Finding> {
  if (!usesRabbitmq(subject)) return;
  const queues = [...subject.names.queueTable.known];
  const said = new Set<string>();
  for (const start of queues) {
    const circle = circleFrom(start, queues);
    if (circle === null || circle.some(({ arguments: args }) => args?.['x-message-ttl'] !== undefined)) continue;
    const members = circle.map(({ name }) => name);
    const key = members.toSorted().join(' ');
    if (said.has(key)) continue;
    said.add(key);
    const text = `rejected messages must end somewhere, got ${[...members, start.name].join(' → ')}`;
    yield found('DEAD_LETTER_CIRCLE', text, placeOfQueue(subject, start, ['queue_arguments', 'x-dead-letter-exchange']));
  }
}

/** The queues that a message to `start` goes through until it is there again; null: it never is. */
function circleFrom(start: TaskQueue, queues: readonly TaskQueue[]): readonly TaskQueue[] | null {
  const path = [start];
  for (let next = nextOf(start, start, queues); next !== undefined && path.length <= queues.length; next = nextOf(next, start, queues)) {
    if (next === start) return path;
    path.push(next);
  }
  return null;
}

/** Where a message that was sent to `origin` goes when it is rejected by `queue`; undefined: nowhere that is known here. */
function nextOf(queue: TaskQueue, origin: TaskQueue, queues: readonly TaskQueue[]): TaskQueue | undefined {
  const exchange = queue.arguments?.['x-dead-letter-exchange'];
  if (typeof exchange !== 'string') return undefined;
  const own = queue.arguments?.['x-dead-letter-routing-key'];
  const key =
    typeof own === 'string'
      ? own
      : origin.exchangeType === 'topic' || origin.exchangeType === 'fanout'
        ? (origin.routingKey ?? origin.name)
        : origin.name;
  if (exchange === '') return queues.find(({ name }) => name === key);
  return queues.find(
    (one) => (one.exchange ?? one.name) === exchange && (one.exchangeType === 'fanout' || (one.routingKey ?? one.name) === key),
  );
}

function usesRabbitmq({ config }: Subject): boolean {
  const { broker_url: url } = config.settings;
  return url !== null && isAmqpUrl(url);
}
