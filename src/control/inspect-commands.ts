/**
 * Celery's inspect commands: they look and change nothing.
 *
 * Owns names, arguments and the shape of each reply. Source: protocol notes, control.md §2 to §4.
 */
import { writeRevokedMap } from '../protocol/revoked-map.ts';
import type { ControlCommand } from './command.ts';
import { countOf, isTrue, listOf, textOf } from './command-values.ts';
import type { ControlSurface, TaskInfo } from './control-surface.ts';

const defaultTaskItems = ['exchange', 'routing_key', 'rate_limit'];

export const inspectCommands: readonly ControlCommand[] = [
  {
    name: 'ping',
    kind: 'inspect',
    arguments: [],
    help: 'Are you there?',
    run: () => ({ ok: 'pong' }),
  },
  {
    name: 'active',
    aliases: ['dump_active'],
    kind: 'inspect',
    arguments: [{ name: 'safe', default: false, type: 'boolean' }],
    signature: '[true]',
    help: 'Tasks that are running now; with true their arguments are texts.',
    run: (surface, { safe }) => surface.active(isTrue(safe)),
  },
  {
    name: 'reserved',
    aliases: ['dump_reserved'],
    kind: 'inspect',
    arguments: [],
    help: 'Tasks that were received and have not started; those with an ETA are scheduled.',
    run: (surface) => surface.reserved(),
  },
  {
    name: 'scheduled',
    aliases: ['dump_schedule'],
    kind: 'inspect',
    arguments: [],
    help: 'Tasks that wait here for their ETA. On RabbitMQ those due much later wait in the broker, for whoever takes them then.',
    run: (surface) => surface.scheduled(),
  },
  {
    name: 'revoked',
    aliases: ['dump_revoked'],
    kind: 'inspect',
    arguments: [],
    help: 'Ids of revoked tasks.',
    run: (surface) => surface.revoked(),
  },
  {
    name: 'registered',
    aliases: ['dump_tasks'],
    kind: 'inspect',
    arguments: [
      { name: 'taskinfoitems', default: [], rest: true },
      { name: 'builtins', default: false, type: 'boolean' },
    ],
    commandLine: ['taskinfoitems'],
    signature: '[attribute …]',
    help: 'Tasks that this worker knows, with the attributes asked for.',
    run: (surface, { taskinfoitems, builtins }) => registered(surface, listOf('taskinfoitems', taskinfoitems), isTrue(builtins)),
  },
  {
    name: 'stats',
    kind: 'inspect',
    arguments: [],
    help: 'Statistics of the worker: totals, pool, broker, resources.',
    run: (surface) => surface.stats(),
  },
  {
    name: 'active_queues',
    kind: 'inspect',
    arguments: [],
    strict: true,
    help: 'Queues this worker consumes from.',
    run: (surface) => surface.activeQueues(),
  },
  {
    name: 'conf',
    aliases: ['dump_conf'],
    kind: 'inspect',
    arguments: [{ name: 'with_defaults', default: false, type: 'boolean' }],
    signature: '[true]',
    help: 'The configuration, without what has its default unless asked for; secrets are masked.',
    run: (surface, args) => surface.conf(isTrue(args.with_defaults)),
  },
  {
    name: 'clock',
    kind: 'inspect',
    arguments: [],
    help: 'The logical clock.',
    run: (surface) => ({ clock: surface.clock.value }),
  },
  {
    name: 'query_task',
    kind: 'inspect',
    arguments: [{ name: 'ids', rest: true }],
    signature: '<id> …',
    help: 'What the worker does with these tasks.',
    run: (surface, { ids }) => surface.queryTask(listOf('ids', ids)),
  },
  {
    name: 'report',
    kind: 'inspect',
    arguments: [],
    help: 'What a report of a problem should tell about this worker.',
    run: (surface) => ({ ok: surface.report() }),
  },
  {
    name: 'memsample',
    kind: 'inspect',
    arguments: [],
    help: 'Memory of the main process now.',
    run: (surface) => `${(surface.rssBytes() / 1048576).toFixed(3)}MB`,
  },
  {
    name: 'memdump',
    kind: 'inspect',
    arguments: [{ name: 'samples', default: 10, type: 'integer' }],
    signature: '[samples]',
    help: 'What the memory of the main process is made of.',
    run: (surface, { samples }) => surface.heapReport(Math.max(1, countOf('samples', samples))),
  },
  {
    name: 'objgraph',
    kind: 'inspect',
    arguments: [
      { name: 'num', default: 200, type: 'integer' },
      { name: 'max_depth', default: 10, type: 'integer' },
      { name: 'type', default: 'Request' },
    ],
    commandLine: ['type', 'num', 'max_depth'],
    signature: '[type [num [max_depth]]]',
    help: 'Write a heap snapshot of the main process on its machine. The arguments are those of Python; a snapshot holds every type.',
    timeoutSeconds: 60,
    run: async (surface) => ({ filename: await surface.heapSnapshot() }),
  },
  {
    name: 'hello',
    kind: 'inspect',
    arguments: [{ name: 'from_node' }, { name: 'revoked', default: null }],
    hidden: true,
    help: 'Worker to worker, at the start: clock and revoked tasks.',
    run: (surface, { from_node: fromNode, revoked }) => hello(surface, textOf('from_node', fromNode), revoked),
  },
];

/** `name [item=value …]`, sorted. */
function registered(surface: ControlSurface, wanted: readonly string[], builtins: boolean): string[] {
  const items = wanted.length > 0 ? wanted : defaultTaskItems;
  return surface
    .tasks()
    .filter(({ name }) => builtins || !name.startsWith('celery.'))
    .map((task) => describe(task, items))
    .sort();
}

function describe(task: TaskInfo, items: readonly string[]): string {
  const shown = items.filter((item) => task[item] !== undefined && task[item] !== null).map((item) => `${item}=${pythonStr(task[item])}`);
  return shown.length === 0 ? task.name : `${task.name} [${shown.join(' ')}]`;
}

function pythonStr(value: unknown): string {
  return value === true ? 'True' : value === false ? 'False' : String(value);
}

/** null to ourselves: another node of our name would otherwise be taken for a neighbour. */
function hello(surface: ControlSurface, fromNode: string, revoked: unknown): unknown {
  if (fromNode === surface.nodeName) return null;
  surface.learnRevoked(revoked);
  return { revoked: writeRevokedMap(surface.revokedTimes()), clock: surface.clock.forward() };
}
