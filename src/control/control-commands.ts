/**
 * Celery's control commands: they change what the worker does.
 *
 * Owns names, arguments and the texts of the replies. Source: protocol notes, control.md §5.
 */
import { pythonText } from '../std/python-repr.ts';
import { type ControlCommand, noReply } from './command.ts';
import { CommandFailure } from './command-failure.ts';
import { countOf, isTrue, listOf, nameOf, numberOrNull, secondsOrNull, textOf, textOrNull } from './command-values.ts';
import type { ControlSurface, EventsSwitch } from './control-surface.ts';

const defaultSignal = 'SIGTERM';

export const controlCommands: readonly ControlCommand[] = [
  {
    name: 'revoke',
    kind: 'control',
    arguments: [
      { name: 'task_id', rest: true },
      { name: 'terminate', default: false, type: 'boolean' },
      { name: 'signal', default: null },
    ],
    commandLine: ['task_id'],
    signature: '<id> …',
    help: 'Do not run these tasks any more, wherever they are.',
    run: (surface, { task_id: ids, terminate, signal }) =>
      revoke(surface, listOf('task_id', ids), isTrue(terminate) ? signalOf(signal) : null),
  },
  {
    name: 'terminate',
    kind: 'control',
    arguments: [{ name: 'signal' }, { name: 'task_id', rest: true }],
    signature: '<signal> <id> …',
    help: 'End these tasks by a signal to the process that runs them.',
    run: (surface, { task_id: ids, signal }) => revoke(surface, listOf('task_id', ids), signalOf(signal)),
  },
  {
    name: 'revoke_by_stamped_headers',
    kind: 'control',
    arguments: [
      { name: 'headers', rest: true },
      { name: 'terminate', default: false, type: 'boolean' },
      { name: 'signal', default: null },
    ],
    commandLine: ['headers'],
    signature: '<key=value> …',
    help: 'Do not run tasks with such stamps any more.',
    run: (surface, { headers, terminate, signal }) => {
      const stamps = stampsOf(headers);
      const text = stampsText(stamps);
      if (!isTrue(terminate)) {
        surface.revokeByStampedHeaders(stamps, null);
        return { ok: `headers ${text} flagged as revoked, but not terminated` };
      }
      const { terminated } = surface.revokeByStampedHeaders(stamps, signalOf(signal));
      return { ok: terminated.length === 0 ? `headers ${text} were not terminated` : `headers ${text} revoked` };
    },
  },
  {
    name: 'rate_limit',
    kind: 'control',
    arguments: [{ name: 'task_name' }, { name: 'rate_limit' }],
    signature: '<task> <rate>',
    help: 'At most so many of these tasks: 10/s, 100/m, 5/h; 0 for as many as there are.',
    run: (surface, { task_name: task, rate_limit: rate }) => rateLimit(surface, textOf('task_name', task), rate),
  },
  {
    name: 'time_limit',
    kind: 'control',
    arguments: [{ name: 'task_name' }, { name: 'hard', default: null, type: 'number' }, { name: 'soft', default: null, type: 'number' }],
    commandLine: ['task_name', 'soft', 'hard'],
    signature: '<task> <soft> [hard]',
    help: 'Time limits in seconds of tasks that start from now on.',
    run: (surface, { task_name: task, hard, soft }) => {
      const change = surface.timeLimit(textOf('task_name', task), secondsOrNull('hard', hard), secondsOrNull('soft', soft));
      if (change === 'unknown') return { error: 'unknown task' };
      const but = change === 'soft-too-late' ? ', but the soft one has no effect: it is not below the hard one' : '';
      return { ok: `time limits set successfully${but}` };
    },
  },
  {
    name: 'add_consumer',
    kind: 'control',
    arguments: [
      { name: 'queue' },
      { name: 'exchange', default: null },
      { name: 'exchange_type', default: null },
      { name: 'routing_key', default: null },
    ],
    signature: '<queue> [exchange [type [routing_key]]]',
    help: 'Take tasks from this queue as well.',
    run: async (surface, args) => {
      const queue = nameOf('queue', args.queue);
      await surface.addConsumer({
        queue,
        exchange: textOrNull('exchange', args.exchange),
        exchangeType: textOrNull('exchange_type', args.exchange_type) ?? 'direct',
        routingKey: textOrNull('routing_key', args.routing_key),
      });
      return { ok: `add consumer ${queue}` };
    },
  },
  {
    name: 'cancel_consumer',
    kind: 'control',
    arguments: [{ name: 'queue' }],
    signature: '<queue>',
    help: 'Take no more tasks from this queue.',
    run: async (surface, args) => {
      const queue = nameOf('queue', args.queue);
      await surface.cancelConsumer(queue);
      return { ok: `no longer consuming from ${queue}` };
    },
  },
  {
    name: 'pool_grow',
    kind: 'control',
    arguments: [{ name: 'n', default: 1, type: 'integer' }],
    signature: '[n]',
    help: 'More children.',
    run: (surface, { n }) => {
      surface.poolGrow(countOf('n', n));
      return { ok: 'pool will grow' };
    },
  },
  {
    name: 'pool_shrink',
    kind: 'control',
    arguments: [{ name: 'n', default: 1, type: 'integer' }],
    signature: '[n]',
    help: 'Fewer children; busy ones finish first.',
    run: (surface, { n }) => {
      surface.poolShrink(countOf('n', n));
      return { ok: 'pool will shrink' };
    },
  },
  {
    name: 'pool_restart',
    kind: 'control',
    arguments: [
      { name: 'modules', default: null },
      { name: 'reload', default: false, type: 'boolean' },
      { name: 'reloader', default: null },
    ],
    commandLine: [],
    help: 'Replace all children, which load the task modules anew.',
    run: async (surface, { modules, reload }) => {
      await surface.poolRestart({ modules: modules === null ? null : listOf('modules', modules), reload: isTrue(reload) });
      return { ok: 'reload started' };
    },
  },
  {
    name: 'autoscale',
    kind: 'control',
    arguments: [
      { name: 'max', default: null, type: 'integer' },
      { name: 'min', default: null, type: 'integer' },
    ],
    strict: true,
    signature: '[max [min]]',
    help: 'The range in which the number of children follows the load.',
    run: (surface, args) => {
      const { max, min } = surface.autoscale(numberOrNull('max', args.max), numberOrNull('min', args.min));
      return { ok: `autoscale now max=${max} min=${min}` };
    },
  },
  {
    name: 'shutdown',
    kind: 'control',
    arguments: [{ name: 'msg', default: 'Got shutdown from remote' }],
    commandLine: [],
    help: 'Stop when the running tasks are done. There is no reply.',
    run: (surface, { msg }) => {
      surface.shutdown(String(msg));
      return noReply;
    },
  },
  {
    name: 'heartbeat',
    kind: 'control',
    arguments: [],
    strict: true,
    help: 'Send a heartbeat event now.',
    run: (surface) => {
      surface.heartbeat();
      return null;
    },
  },
  {
    name: 'enable_events',
    kind: 'control',
    arguments: [],
    strict: true,
    help: 'Send events of tasks.',
    run: (surface) => switched(surface.enableEvents(), 'enabled'),
  },
  {
    name: 'disable_events',
    kind: 'control',
    arguments: [],
    strict: true,
    help: 'Send no events of tasks.',
    run: (surface) => switched(surface.disableEvents(), 'disabled'),
  },
  {
    name: 'election',
    kind: 'control',
    arguments: [{ name: 'id' }, { name: 'topic' }, { name: 'action', default: null }],
    commandLine: ['id', 'topic'],
    signature: '<id> <topic>',
    needsNodes: 2,
    help: 'Have the nodes that gossip elect one of them to do something.',
    run: (surface, { id, topic, action }) => {
      surface.election(textOf('id', id), textOf('topic', topic), action);
      return null;
    },
  },
];

/** Python lets people leave out SIG, and numbers are signals too; what it means is the surface's to know. */
function signalOf(signal: unknown): string {
  return signal === null || signal === undefined || signal === '' ? defaultSignal : String(signal);
}

function revoke(surface: ControlSurface, ids: readonly string[], signal: string | null): unknown {
  const { terminated } = surface.revoke(ids, signal);
  if (signal === null) return { ok: `tasks ${ids.join(', ')} flagged as revoked` };
  return { ok: `terminate: ${terminated.length === 0 ? 'tasks unknown' : terminated.join(', ')}` };
}

function rateLimit(surface: ControlSurface, task: string, given: unknown): unknown {
  const rate = typeof given === 'number' || typeof given === 'string' ? given : null;
  if (rate === null && given !== null && given !== undefined && given !== false)
    return { error: `Invalid rate limit string: TypeError('a rate is a text or a number')` };
  try {
    if (surface.rateLimit(task, rate) === 'unknown') return { error: 'unknown task' };
  } catch (error) {
    if (!(error instanceof CommandFailure)) throw error;
    return { error: `Invalid rate limit string: ${error.type}(${pythonText(error.message)})` };
  }
  // As in Python, where the text '0' is not nothing.
  const off = rate === null || rate === 0 || rate === '';
  return { ok: off ? 'rate limit disabled successfully' : 'new rate limit set successfully' };
}

/** An object of values or lists of values; from a command line a list of key=value. */
function stampsOf(headers: unknown): Record<string, string[]> {
  const stamps: Record<string, string[]> = {};
  if (Array.isArray(headers) || typeof headers === 'string') {
    for (const pair of listOf('headers', headers)) {
      const equals = pair.indexOf('=');
      if (equals < 1) throw new CommandFailure('ValueError', `a stamp must be key=value, got ${pythonText(pair)}`);
      const key = pair.slice(0, equals);
      stamps[key] = [...(stamps[key] ?? []), pair.slice(equals + 1)];
    }
    return stamps;
  }
  if (typeof headers !== 'object' || headers === null)
    throw new CommandFailure('TypeError', 'headers must be an object or a list of key=value');
  for (const [key, values] of Object.entries(headers)) stamps[key] = listOf(`headers.${key}`, values);
  return stamps;
}

/** As Python prints a dict. */
function stampsText(stamps: Readonly<Record<string, readonly string[]>>): string {
  const entries = Object.entries(stamps).map(([key, values]) => `${pythonText(key)}: [${values.map(pythonText).join(', ')}]`);
  return `{${entries.join(', ')}}`;
}

function switched(outcome: EventsSwitch, word: 'enabled' | 'disabled'): unknown {
  if (outcome === 'unavailable') return { error: 'event dispatcher unavailable' };
  return { ok: `task events ${outcome === 'changed' ? '' : 'already '}${word}` };
}
