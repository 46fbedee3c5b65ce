/** Which table of the configuration is for which task, and which is stronger. */
import t from 'tap';
import { annotate } from '../../src/child/annotate.ts';
import { defineTask, TaskRegistry } from '../../src/task/registry.ts';
import { resolveTaskOptions, type TaskOptions } from '../../src/task/task-options.ts';

function registryOf(tasks: Readonly<Record<string, TaskOptions>>): TaskRegistry {
  const registry = new TaskRegistry();
  for (const [name, options] of Object.entries(tasks))
    registry.add(defineTask({ name, fn: () => {}, options: resolveTaskOptions(options, name), file: 'a.ts', sources: () => [] }));
  return registry;
}

t.test('stronger than the module; a name is stronger than patterns, an earlier pattern than a later one, option by option', async (t) => {
  const onSuccess = (): void => {};
  const registry = registryOf({
    'mail.send': { rateLimit: 5, maxRetries: 9, onSuccess },
    'mail.sort': {},
    'other.send': { acksLate: true },
  });
  annotate(registry, [
    ['mail.*', { rateLimit: '1/s', maxRetries: 1, acksLate: true }],
    ['*', { maxRetries: 2, retryJitter: false }],
    ['mail.send', { maxRetries: null }],
    ['/other/', { throws: ['NotFound'] }],
    ['nobody', { acksLate: false }],
  ]);
  t.match(registry.get('mail.send')?.options, {
    rateLimit: '1/s',
    maxRetries: null,
    acksLate: true,
    retryJitter: false,
    handlers: { onSuccess },
  });
  t.match(registry.get('mail.sort')?.options, { rateLimit: '1/s', maxRetries: 1, acksLate: true, retryJitter: false });
  t.match(registry.get('other.send')?.options, { rateLimit: undefined, maxRetries: 2, acksLate: true, throws: ['NotFound'] });
});

t.test('a task that no table fits is left as it is', async (t) => {
  const registry = registryOf({ 'a.b': { maxRetries: 4 } });
  const before = registry.get('a.b');
  annotate(registry, [
    ['a', { maxRetries: 1 }],
    ['a.b.c', { maxRetries: 2 }],
  ]);
  t.equal(registry.get('a.b'), before);
});
