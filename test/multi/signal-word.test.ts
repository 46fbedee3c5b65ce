/** Signals of `umbel multi`: names and numbers, the last one counts, and none that would be waited for in vain. */
import t from 'tap';
import { signalWord } from '../../src/multi/signal-word.ts';

t.test('names and numbers', async (t) => {
  for (const [line, name, number, words] of [
    ['w1 w2', 'TERM', 15, 'w1 w2'],
    ['w1 -9', 'KILL', 9, 'w1'],
    ['w1 -15', 'TERM', 15, 'w1'],
    ['w1 -QUIT', 'QUIT', 3, 'w1'],
    ['-SIGINT w1', 'INT', 2, 'w1'],
    ['w1 -9 -TERM', 'TERM', 15, 'w1'],
    ['w1 -40', '40', 40, 'w1'],
    ['w1 -Q a -E -A x', 'TERM', 15, 'w1 -Q a -E -A x'],
    ['w1 -QMAIL -Ofair', 'TERM', 15, 'w1 -QMAIL -Ofair'],
    ['w1 -- -9', 'TERM', 15, 'w1 -- -9'],
  ] as const)
    t.same(signalWord(line.split(' '), true), { name, number, words: words.split(' ') }, line);
});

t.test('refuses', async (t) => {
  t.throws(() => signalWord(['w1', '-99'], false), { code: 'USAGE', message: /from 1 to 64, got -99/ });
  t.throws(() => signalWord(['w1', '-HUP'], true), { code: 'USAGE', message: /must end a worker, got HUP/ });
  t.match(signalWord(['w1', '-HUP'], false), { name: 'HUP' });
  t.throws(() => signalWord(['-TREM', 'w1', 'w2'], true), {
    code: 'USAGE',
    message: /one of this system, got -TREM; did you mean -TERM\?/,
  });
  t.throws(() => signalWord(['w1', '-SIGNOTHING'], true), { code: 'USAGE', message: /one of this system, got -SIGNOTHING \(/ });
});
