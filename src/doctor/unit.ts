/** A systemd unit beside the configuration of the worker that it runs. */
import { userEntry } from '../os/user-entry.ts';
import { type Finding, found } from './finding.ts';
import { placeOf, type Subject } from './subject.ts';
import type { Unit } from './unit-file.ts';

const defaultStopSeconds = 90;
/** What a stop takes beyond the time of the tasks. */
const stopGraceSeconds = 10;
/** A garbage collection, a busy machine: shorter than that, a worker that is well looks as if it stood still. */
const shortestWatchdogSeconds = 10;

/** Types of units whose main process is the worker itself. */
const direct = new Set(['simple', 'exec', 'notify', 'notify-reload']);

export function* unitChecks(subject: Subject, unit: Unit): Iterable<Finding> {
  const type = unit.get('Type')?.text ?? 'simple';
  yield* stopTimeout(subject, unit);
  yield* watchdog(subject, unit, type);
  yield* user(unit);
  if (!direct.has(type)) return;
  if ((unit.get('Restart')?.text ?? 'no') === 'no')
    yield found('UNIT_NO_RESTART', 'a worker that ends by itself must be started again, got Restart=no', unit.place('Restart'));
  const oom = unit.get('OOMPolicy')?.text ?? 'stop';
  if (oom !== 'continue')
    yield found(
      'UNIT_OOM_POLICY',
      `OOMPolicy must be continue: a child that is out of memory is replaced, got ${oom}`,
      unit.place('OOMPolicy'),
    );
}

function* stopTimeout(subject: Subject, unit: Unit): Iterable<Finding> {
  const { worker_shutdown_timeout: shutdown } = subject.config.settings;
  const key = unit.seconds('TimeoutStopSec') === null && unit.seconds('TimeoutSec') !== null ? 'TimeoutSec' : 'TimeoutStopSec';
  const given = unit.seconds(key) ?? defaultStopSeconds;
  // For systemd 0 is no bound.
  const stopSeconds = given === 0 ? Number.POSITIVE_INFINITY : given;
  if (stopSeconds === Number.POSITIVE_INFINITY || (shutdown !== null && shutdown + stopGraceSeconds <= stopSeconds)) return;
  const got = shutdown === null ? 'no bound' : `${shutdown} s (${placeOf(subject, 'worker_shutdown_timeout')})`;
  const text = `worker.shutdown_timeout must be at least ${stopGraceSeconds} s below ${key}, ${stopSeconds} s, got ${got}`;
  yield found('UNIT_STOP_TIMEOUT', text, unit.place(key));
}

function* watchdog({ config }: Subject, unit: Unit, type: string): Iterable<Finding> {
  const seconds = unit.seconds('WatchdogSec');
  if (seconds === null || seconds === 0 || seconds === Number.POSITIVE_INFINITY) return;
  const place = unit.place('WatchdogSec');
  const access = unit.get('NotifyAccess')?.text ?? (type.startsWith('notify') ? 'main' : 'none');
  if (config.settings.worker_pool === 'solo')
    yield found(
      'UNIT_WATCHDOG_SOLO',
      `a task of the solo pool keeps back the signs of life that WatchdogSec wants, got ${seconds} s`,
      place,
    );
  else if (seconds < shortestWatchdogSeconds)
    yield found('UNIT_WATCHDOG_SHORT', `WatchdogSec must be at least ${shortestWatchdogSeconds} s, got ${seconds} s`, place);
  if (access === 'none')
    yield found(
      'UNIT_WATCHDOG_UNHEARD',
      `systemd must listen to the signs of life that WatchdogSec wants, got Type=${type} without NotifyAccess`,
      place,
    );
}

function* user(unit: Unit): Iterable<Finding> {
  const name = unit.get('User')?.text ?? null;
  if (unit.get('DynamicUser')?.text === 'yes') return;
  if (name === null || name === 'root' || name === '0')
    yield found('RUNS_AS_ROOT', 'the unit must name a user without the rights of root, got none', unit.place('User'));
  else if (!name.includes('%') && userEntry(name) === null)
    yield found('USER_UNKNOWN', `the user of the unit must be one of this system, got ${name}`, unit.place('User'));
}
