/**
 * The names of keys and channels under which Celery keeps results, groups and chords in Redis.
 *
 * `global_keyprefix` stands in front of each; Celery 5.5 and later put `_` behind it unless it ends in one of `:_-.`, 5.3 and 5.4
 * always do. This follows 5.5; with a prefix that ends in none of the four, all versions agree.
 * Source: protocol notes, redis.md §5.1.
 */

export interface ChordKeys {
  /** The finished parts: sorted set by group index, or list. */
  readonly parts: string;
  /** Parts that were added from within. */
  readonly added: string;
  /** How many parts there are. */
  readonly size: string;
  /** Ours: the task that completed the chord. Python never looks at it. */
  readonly claim: string;
  /** Ours: what has been seen of the chord, so that the loss of another key is noticed. */
  readonly seen: string;
  /** The saved group. */
  readonly group: string;
}

export class ResultKeys {
  readonly #task: string;
  readonly #group: string;

  constructor(globalKeyPrefix: string) {
    const prefix = globalKeyPrefix === '' || /[:_\-.]$/.test(globalKeyPrefix) ? globalKeyPrefix : `${globalKeyPrefix}_`;
    this.#task = `${prefix}celery-task-meta-`;
    this.#group = `${prefix}celery-taskset-meta-`;
  }

  /** The document of a task, and the channel on which it is announced. */
  task(taskId: string): string {
    return this.#task + taskId;
  }

  /** Ours: which copy of a message runs. */
  run(taskId: string): string {
    return `${this.#task}${taskId}.umbel-run`;
  }

  group(groupId: string): string {
    return this.#group + groupId;
  }

  chord(groupId: string): ChordKeys {
    const group = this.#group + groupId;
    return {
      parts: `${group}.j`,
      added: `${group}.t`,
      size: `${group}.s`,
      claim: `${group}.umbel-claim`,
      seen: `${group}.umbel-seen`,
      group,
    };
  }
}
