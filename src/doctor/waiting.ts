/** Messages that nobody is working on: left by the dead, or waiting for a worker that is not there. */
import type { BrokerReport } from '../broker/broker-report.ts';
import { type Finding, found } from './finding.ts';

export function* waiting(report: BrokerReport, place: string): Iterable<Finding> {
  if (report.kind === 'memory') return;
  if (report.kind === 'rabbitmq') {
    for (const { name, ready, consumers } of report.queues)
      if (ready > 0 && consumers === 0)
        yield found('NO_WORKER', `a queue with messages must have a worker, got ${ready} in ${name} and no consumer`, place);
    return;
  }
  const { livingWorkers, heldByDead, queues } = report;
  if (livingWorkers > 0) return;
  if (heldByDead > 0)
    yield found(
      'HELD_BY_THE_DEAD',
      `messages must be held by workers that live, got ${heldByDead} held by others, and no worker that gives them back`,
      place,
    );
  if (report.kind === 'redis' && report.server.blockedInPop !== 0) return;
  for (const { name, ready } of queues)
    if (ready > 0) yield found('NO_WORKER', `a queue with messages must have a worker, got ${ready} in ${name} and no worker`, place);
}
