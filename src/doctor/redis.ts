/** A Redis server beside what umbel needs of it: as broker, as result backend. */
import type { RedisReport } from '../broker/broker-report.ts';
import type { RedisSurvey } from '../driver/redis-survey.ts';
import { type Finding, found } from './finding.ts';
import type { TaskTimes } from './limits.ts';
import { placeOf, type Subject } from './subject.ts';

const mib = 1024 * 1024;
/** ETAs, expiry and leases are compared across machines. */
const mostSkewMs = 2000;
const nearlyFull = 0.9;
const leastIdleSeconds = 60;
/** One reservation, one look at scheduled tasks: what a reply may come to. */
const leastNormalBufferBytes = 64 * mib;
const leastPubsubBufferBytes = 8 * mib;
/** Without security fixes since 2024. */
const oldestKept = { major: 6, minor: 2 };

/** `place`: the setting with its URL. */
export function* redisServer(server: RedisSurvey, place: string): Iterable<Finding> {
  const { maxmemoryPolicy: policy, maxmemoryBytes, usedBytes, majorVersion, minorVersion } = server;
  const say = (code: Finding['code'], text: string): Finding => found(code, `${text} (${server.displayUrl})`, place);
  if (
    majorVersion !== null &&
    (majorVersion < oldestKept.major || (majorVersion === oldestKept.major && (minorVersion ?? 0) < oldestKept.minor))
  )
    yield say('REDIS_OLD', `Redis should be version 6.2 or later, got ${server.version}`);
  if (policy !== null && policy !== 'noeviction')
    yield say('REDIS_EVICTION', `maxmemory-policy must be noeviction, got ${policy} with maxmemory ${maxmemoryBytes ?? 'unknown'}`);
  if (maxmemoryBytes !== null && maxmemoryBytes > 0 && usedBytes !== null && usedBytes > maxmemoryBytes * nearlyFull)
    yield say(
      'REDIS_MEMORY',
      `used memory must stay well below maxmemory, ${Math.round(maxmemoryBytes / mib)} MiB, got ${Math.round(usedBytes / mib)} MiB`,
    );
  if (server.saveFailure !== null) yield say('REDIS_SAVE_FAILED', `Redis must be able to save its data, got ${server.saveFailure}`);
  if (server.idleTimeoutSeconds !== null && server.idleTimeoutSeconds > 0 && server.idleTimeoutSeconds < leastIdleSeconds)
    yield say('REDIS_IDLE_TIMEOUT', `timeout must be 0 or at least ${leastIdleSeconds}, got ${server.idleTimeoutSeconds}`);
  if (server.clients !== null && server.maxClients !== null && server.clients > server.maxClients * nearlyFull)
    yield say('REDIS_CLIENTS', `connected clients must stay well below maxclients, ${server.maxClients}, got ${server.clients}`);
  for (const { kind, hardBytes } of server.outputBuffers) {
    const least = kind === 'normal' ? leastNormalBufferBytes : leastPubsubBufferBytes;
    if (hardBytes > 0 && hardBytes < least)
      yield say(
        'REDIS_OUTPUT_BUFFER',
        `client-output-buffer-limit ${kind} must be 0 or at least ${least / mib} MiB, got ${hardBytes} bytes`,
      );
  }
  if (server.replicasReadOnly === false && (server.replicas ?? 0) > 0)
    yield say('REDIS_REPLICAS_WRITABLE', `replica-read-only must be yes on a server with replicas, got no and ${server.replicas} replicas`);
  const { clockSkewMs, clockErrorMs } = server;
  if (clockSkewMs !== null && Math.abs(clockSkewMs) - clockErrorMs > mostSkewMs)
    yield say('CLOCK_SKEW', `the clocks of this machine and the server must agree, got ${(clockSkewMs / 1000).toFixed(1)} s between them`);
}

/** Of a server that keeps tasks. */
function* redisPersistence(server: RedisSurvey, place: string): Iterable<Finding> {
  const { appendOnly, snapshots, appendFsync, displayUrl } = server;
  if (appendOnly === true) {
    if (appendFsync === 'no') yield found('REDIS_FSYNC_OFF', `appendfsync must be everysec or always, got no (${displayUrl})`, place);
  } else if (appendOnly === false && snapshots === false)
    yield found('REDIS_NOT_PERSISTENT', `appendonly must be yes, got no, and no snapshots (${displayUrl})`, place);
  else if (appendOnly === false && snapshots === true)
    yield found('REDIS_SNAPSHOTS_ONLY', `appendonly should be yes, got no, and snapshots (${displayUrl})`, place);
}

/** What concerns tasks: times of Python workers, and what nobody gives back. */
export function* redisBroker(subject: Subject, report: RedisReport, times: readonly TaskTimes[]): Iterable<Finding> {
  const place = placeOf(subject, 'broker_url');
  yield* redisServer(report.server, place);
  yield* redisPersistence(report.server, place);
  const { visibilityTimeoutMs, heldByPython, furthestDueAtMs, server } = report;
  const options = subject.config.settings.broker_transport_options;
  // umbel renews what it holds, however long that takes; the timeout is for Python workers.
  const pythonWorks = (server.blockedInPop ?? 0) > 0 || heldByPython > 0;
  if (!pythonWorks && options.visibility_timeout === undefined) return;
  const seconds = visibilityTimeoutMs / 1000;
  const timeoutPlace = options.visibility_timeout === undefined ? place : placeOf(subject, 'broker_transport_options');
  const longest = times.reduce<TaskTimes | null>((most, one) => ((one.hardSeconds ?? 0) > (most?.hardSeconds ?? 0) ? one : most), null);
  if (longest?.hardSeconds != null && longest.hardSeconds > seconds) {
    const of = longest.task === null ? '' : ` of ${longest.task}`;
    yield found(
      'VISIBILITY_BELOW_LIMIT',
      `visibility_timeout must be above the time limit${of}, ${longest.hardSeconds} s, got ${seconds} s`,
      timeoutPlace,
    );
  }
  const delayMs = furthestDueAtMs === null ? 0 : furthestDueAtMs - Date.now();
  if (delayMs > visibilityTimeoutMs)
    yield found(
      'VISIBILITY_BELOW_ETA',
      `visibility_timeout must be above the longest wait for an ETA, ${Math.round(delayMs / 1000)} s for a task that is there now, got ${seconds} s`,
      timeoutPlace,
    );
}
