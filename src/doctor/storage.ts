/** Where messages and results are kept: combinations that lose them. */
import { type Finding, found } from './finding.ts';
import { placeOf, type Subject } from './subject.ts';

export function* storage(subject: Subject): Iterable<Finding> {
  const { broker_url: broker, result_backend: backend, sqlite_synchronous: synchronous } = subject.config.settings;
  if (broker === 'memory://')
    yield found(
      'BROKER_IN_MEMORY',
      'the broker must be one that clients reach and that outlives the worker, got memory://',
      placeOf(subject, 'broker_url'),
    );
  else if (backend === 'memory://')
    yield found('RESULTS_IN_MEMORY', 'results must be kept where clients find them, got memory://', placeOf(subject, 'result_backend'));
  if (synchronous === 'off')
    yield found(
      'SQLITE_SYNCHRONOUS_OFF',
      "sqlite.synchronous must be 'normal' or 'full', got 'off'",
      placeOf(subject, 'sqlite_synchronous'),
    );
}

/** A dead connection is noticed by missing signs of life alone. */
export function* heartbeat(subject: Subject): Iterable<Finding> {
  const { broker_heartbeat: seconds, worker_pool: pool, broker_url: url } = subject.config.settings;
  if (url === null || !/^(py)?amqps?:/.test(url) || pool === 'solo' || seconds !== null) return;
  yield found('HEARTBEAT_OFF', 'broker.heartbeat must be a number of seconds, got 0', placeOf(subject, 'broker_heartbeat'));
}
