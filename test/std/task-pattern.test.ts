/** Patterns of task names: Python's fnmatch for globs, a regular expression between slashes. */
import t from 'tap';
import { taskPattern } from '../../src/std/task-pattern.ts';

const fits = (pattern: string, name: string): boolean | undefined => taskPattern(pattern)?.test(name);

t.test('a name is no pattern', async (t) => {
  for (const name of ['mail.send', 'a?', '[ab]', '/', '//']) t.equal(taskPattern(name), null, name);
});

t.test('globs, as fnmatch has them', async (t) => {
  for (const [pattern, yes, no] of [
    ['mail.*', 'mail.send', 'mailxsend'],
    ['*.send', 'a.b.send', 'a.b.sends'],
    ['[a-c]?*', 'bx', 'dx'],
    ['[!a-c]*', 'd', 'a'],
    ['[]^\\\\]*', ']', 'a'],
    ['[bz-a]*', 'b', 'z'],
    ['[!z-a]*', 'a', ''],
    ['a[*', 'a[b', 'ab'],
  ] as const) {
    t.equal(fits(pattern, yes), true, `${pattern} fits ${yes}`);
    t.equal(fits(pattern, no), false, `${pattern} does not fit ${no}`);
  }
  t.equal(fits('a[z-a]*', 'az'), false, 'nothing is in a range whose ends are the wrong way round');
});

t.test('regular expressions, from the beginning and not to the end', async (t) => {
  t.equal(fits('/mail|news/', 'newspaper'), true);
  t.equal(fits('/mail|news/', 'oldnews'), false);
  t.throws(() => taskPattern('/(/'), SyntaxError);
});
