/** Settings that a worker refuses at its start, because they do not go together: what it would say, before it is started. */
import { openConnections } from '../client/connections.ts';
import { ConfigError } from '../config/config-error.ts';
import { UmbelError } from '../errors.ts';
import { createLogger, type RootLogger } from '../log/create-logger.ts';
import { poolKind } from '../node/pool-shape.ts';
import { checkTransportOptions } from '../node/transport-options.ts';
import { autoscaleParams, recyclingParams } from '../node/worker-params.ts';
import { type Finding, found } from './finding.ts';
import type { FindingCode } from './finding-table.ts';
import { placeOf, type Subject } from './subject.ts';

/** For parts that want a log and whose lines are findings here. */
export function silentLog(): RootLogger {
  return createLogger({ level: 'critical', format: 'text', processName: 'umbel' });
}

export function refusals(subject: Subject): readonly Finding[] {
  const { config } = subject;
  const kind = poolKind(config, silentLog());
  return [
    ...refusalsOf(() => checkTransportOptions(config)),
    ...refusalsOf(() => recyclingParams(config, kind)),
    ...refusalsOf(() => autoscaleParams(config, kind)),
    ...urls(subject),
  ];
}

/** What the URLs say beyond their schemes. Nothing is connected, and no folder made. */
function urls(subject: Subject): readonly Finding[] {
  const { broker_url: brokerUrl, result_backend: backendUrl } = subject.config.settings;
  if (brokerUrl === null) return [];
  const noMatter = { synchronous: 'normal', busyTimeoutMs: 0, leaseMs: 1000, resultExpiresMs: null, log: silentLog() } as const;
  try {
    openConnections({ brokerUrl, backendUrl, env: subject.env, workdir: process.cwd(), ...noMatter });
    return [];
  } catch (error) {
    if (!(error instanceof UmbelError)) throw error;
    const name = error.code === 'BACKEND_URL_INVALID' ? 'result_backend' : 'broker_url';
    return [found('SETTINGS_REFUSED', error.message, placeOf(subject, name))];
  }
}

/** The errors of `step` as findings; anything but an UmbelError is a defect and is thrown. */
function refusalsOf(step: () => unknown, code: FindingCode = 'SETTINGS_REFUSED'): readonly Finding[] {
  try {
    step();
    return [];
  } catch (error) {
    return findingsOf(error, code);
  }
}

export function findingsOf(error: unknown, code: FindingCode): readonly Finding[] {
  if (error instanceof ConfigError) return error.problems.map(({ message, place }) => found(code, message, place));
  if (error instanceof UmbelError) return [found(code, error.message)];
  throw error;
}
