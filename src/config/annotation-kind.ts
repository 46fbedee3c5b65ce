/**
 * `[tasks.NAME]`: options of tasks, said from outside of their modules, each table in Celery's words (`task_annotations`).
 *
 * The name of a task, or a pattern as in `task.routes`. Owns reading and checking; which tasks a table is for is child/annotate.ts.
 */
import { taskPattern } from '../std/task-pattern.ts';
import { isTable } from './is-table.ts';
import { readJsonText } from './json-text.ts';
import { boolean, integer, type Kind, listOf, Refusal, seconds, shown, text } from './kind.ts';
import { inlineTable } from './plain-table.ts';
import { rateLimit } from './rate-limit-kind.ts';
import { field, fieldsText, type TableOf, table } from './table-kind.ts';
import { booleanOr } from './union-kind.ts';

const errorNames = listOf(text({ rule: 'the name of an error' }), 'names of errors');

export const annotationFields = {
  rate_limit: field(rateLimit, 'most starts of it in a worker.'),
  acks_late: field(boolean(), 'as task.acks_late.'),
  acks_on_failure_or_timeout: field(boolean(), 'as task.acks_on_failure_or_timeout.'),
  reject_on_worker_lost: field(boolean(), 'as task.reject_on_worker_lost.'),
  ignore_result: field(boolean(), 'as task.ignore_result.'),
  store_errors_even_if_ignored: field(boolean(), 'as task.store_errors_even_if_ignored.'),
  track_started: field(boolean(), 'as task.track_started.'),
  send_events: field(boolean(), 'send events of its runs.'),
  time_limit: field(seconds(), 'seconds after which it is killed.'),
  soft_time_limit: field(seconds(), 'seconds after which it gets a SoftTimeLimitExceeded.'),
  max_retries: field(countOrNone(), 'how often it may be retried; false for no limit.'),
  default_retry_delay: field(seconds(), 'seconds before a retry that names no time.'),
  autoretry_for: field(errorNames, 'names of errors after which it is retried by itself.'),
  dont_autoretry_for: field(errorNames, 'of those, the ones after which it is not.'),
  retry_backoff: field(
    booleanOr(integer({ min: 0 }), 'a number of seconds'),
    'wait longer before each such retry; the first wait in seconds, true for 1.',
  ),
  retry_backoff_max: field(integer({ min: 0 }), 'no such wait is longer.'),
  retry_jitter: field(boolean(), 'draw each such wait between 0 and what it would be.'),
  retry_for: field(seconds(), 'seconds from its first run in which a retry may begin.'),
  throws: field(errorNames, 'names of errors that are an expected way to fail.'),
};

export type AnnotationSetting = TableOf<typeof annotationFields>;
/** By name or pattern, in the order of the file. */
export type AnnotationSettings = Readonly<Record<string, AnnotationSetting>>;

export const annotationFieldsText = fieldsText(annotationFields);

export function annotationTables(): Kind<AnnotationSettings> {
  const one = table(annotationFields, {}, 'exact');
  const rule = 'a table for each task name or pattern, [tasks."NAME"]';
  const readValue = (value: unknown): AnnotationSettings | Refusal => {
    if (!isTable(value)) return new Refusal(`must be ${rule}, got ${shown(value)}`);
    const annotations: Record<string, AnnotationSetting> = {};
    const wrong: Refusal[] = [];
    for (const [name, given] of Object.entries(value)) {
      const read = readOne(name, given);
      if (read instanceof Refusal) wrong.push(read.within(name));
      else annotations[name] = read;
    }
    return Refusal.of(wrong) ?? Object.freeze(annotations);
  };
  const readOne = (name: string, given: unknown): AnnotationSetting | Refusal => {
    if (name === '') return new Refusal('must have a task name or a pattern, got ""');
    try {
      taskPattern(name);
    } catch (error) {
      return new Refusal(`must be a regular expression between its slashes: ${error instanceof Error ? error.message : String(error)}`);
    }
    // What it looks like when the dots of a task name were taken for tables.
    const [key, inner] = isTable(given) ? (Object.entries(given)[0] ?? []) : [];
    if (key !== undefined && isTable(inner) && !Object.hasOwn(annotationFields, key))
      return new Refusal(`has no key ${key}; a task name with dots stands in quotes: [tasks."${name}.${key}"]`);
    return one.readValue(given);
  };
  return {
    rule,
    label: 'tables',
    readValue,
    readText: (given) => readJsonText(given, rule, readValue),
    toToml: (annotations) => inlineTable(Object.entries(annotations).map(([name, annotation]) => [name, one.toToml(annotation)])),
  };
}

/** TOML has no null. */
function countOrNone(): Kind<number | false> {
  const count = integer({ min: 0 });
  const rule = 'an integer, 0 or more, or false for no limit';
  const readValue = (value: unknown): number | false | Refusal => {
    const read = value === false ? value : count.readValue(value);
    return read instanceof Refusal ? new Refusal(`must be ${rule}, got ${shown(value)}`) : read;
  };
  return {
    rule,
    label: 'integer | false',
    readValue,
    readText: (given) => (given === 'false' ? false : count.readText(given)),
    toToml: String,
  };
}
