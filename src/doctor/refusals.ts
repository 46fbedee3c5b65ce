/** Settings that a worker refuses at its start, because they do not go together: what it would say, before it is started. */
import { ConfigError } from '../config/config-error.ts';
import { UmbelError } from '../errors.ts';
import { createLogger, type RootLogger } from '../log/create-logger.ts';
import { poolKind } from '../node/pool-shape.ts';
import { checkTransportOptions } from '../node/transport-options.ts';
import { urlRefusals } from '../node/url-refusals.ts';
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

function urls(subject: Subject): readonly Finding[] {
  const refused = urlRefusals(subject.config, subject.env);
  return refused.map(({ setting, message }) => found('SETTINGS_REFUSED', message, placeOf(subject, setting)));
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
