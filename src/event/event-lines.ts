/**
 * Events as lines for people, as `celery events --dump` prints them.
 *
 * Owns which task an id was, for the events that do not say. Source: the output of Celery 5.2.
 */
import { pythonStr } from '../std/python-repr.ts';
import type { ReceivedEvent } from './receiver.ts';

const humanTypes: Readonly<Record<string, string>> = {
  'worker-offline': 'shutdown',
  'worker-online': 'started',
  'worker-heartbeat': 'heartbeat',
};
const mostTasks = 4095;

export class EventLines {
  /** By uuid, oldest first. */
  readonly #tasks = new Map<string, string>();

  /** `HOST [TIME] WHAT: TASK FIELDS`. */
  line({ type, hostname, timestamp, ...fields }: ReceivedEvent): string {
    const lower = type.toLowerCase();
    const what = Object.hasOwn(humanTypes, lower) ? humanTypes[lower] : lower.replaceAll('-', ' ');
    const head = `${pythonStr(hostname)} [${utcText(timestamp)}] ${what}`;
    const rest: Record<string, unknown> = fields;
    let task: string | null = null;
    if (lower.startsWith('task-')) {
      const uuid = pythonStr(rest.uuid);
      delete rest.uuid;
      if (lower === 'task-received' || lower === 'task-sent') {
        task = `${pythonStr(rest.name)}(${uuid}) args=${pythonStr(rest.args)} kwargs=${pythonStr(rest.kwargs)}`;
        for (const field of ['name', 'args', 'kwargs']) delete rest[field];
        this.#remember(uuid, task);
      } else task = this.#tasks.get(uuid) ?? '';
    }
    const shown = Object.keys(rest)
      .sort()
      .map((field) => `${field}=${pythonStr(rest[field])}`)
      .join(', ');
    return `${head}${shown === '' ? '' : ':'} ${task === null ? '' : `${task} `}${shown}`;
  }

  #remember(uuid: string, task: string): void {
    this.#tasks.delete(uuid);
    this.#tasks.set(uuid, task);
    const [oldest] = this.#tasks.keys();
    if (this.#tasks.size > mostTasks && oldest !== undefined) this.#tasks.delete(oldest);
  }
}

/** As Python's datetime: microseconds, and none where there are none. */
function utcText(unixSeconds: number): string {
  const seconds = Math.floor(unixSeconds);
  const microseconds = Math.round((unixSeconds - seconds) * 1e6);
  const at = new Date((seconds + (microseconds === 1e6 ? 1 : 0)) * 1000);
  if (Number.isNaN(at.getTime())) return String(unixSeconds);
  const text = at.toISOString().slice(0, 19).replace('T', ' ');
  return microseconds % 1e6 === 0 ? text : `${text}.${String(microseconds).padStart(6, '0')}`;
}
