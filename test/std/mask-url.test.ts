/** No password of a URL is shown, however the URL is written; URLs without one stay as they are. */
import t from 'tap';
import { maskUrl } from '../../src/std/mask-url.ts';

t.test('passwords are masked, user names stay', async (t) => {
  const cases: readonly (readonly [string, string])[] = [
    ['amqp://me:secret@host:5672//', 'amqp://me:**@host:5672//'],
    ['redis://:secret@host/0', 'redis://:**@host/0'],
    ['sentinel://:a@h1:26379;sentinel://:b@h2:26379', 'sentinel://:**@h1:26379;sentinel://:**@h2:26379'],
    ['amqp://u:a@h1//,amqp://v:b@h2//', 'amqp://u:**@h1//,amqp://v:**@h2//'],
    ['amqp://u:a@h1,amqp://v:b@h2', 'amqp://u:**@h1,amqp://v:**@h2'],
    ['db+postgresql://u:p%40ss@h/db', 'db+postgresql://u:**@h/db'],
    ['amqp://u:p@ss:word@h/v', 'amqp://u:**@h/v'],
    ['redis://:pa/ss@host/0', 'redis://:**@host/0'],
    ['redis://:pa#ss?x@host/0', 'redis://:**@host/0'],
    ['rediss://h/0?ssl_key_password=secret&x=1', 'rediss://h/0?ssl_key_password=**&x=1'],
    ['sqs://h?secret_access_key=AB%2Fcd', 'sqs://h?secret_access_key=**'],
    ['connected to redis://u:secret@h/0 at once', 'connected to redis://u:**@h/0 at once'],
    ['["redis://u:secret@h/0", "redis://h/1"]', '["redis://u:**@h/0", "redis://h/1"]'],
    ['AMQP://U:SECRET@H', 'AMQP://U:**@H'],
  ];
  for (const [url, wanted] of cases) t.equal(maskUrl(url), wanted);
});

t.test('what holds no password is unchanged', async (t) => {
  for (const url of [
    'amqp://guest@localhost//',
    'redis://localhost:6379/0',
    'sqlite:////var/lib/x.db',
    'memory://',
    'no url at all: a@b',
    '',
  ]) {
    t.equal(maskUrl(url), url);
  }
});

t.test('a long text without an end does not take long', async (t) => {
  const before = process.cpuUsage();
  maskUrl(`redis://:${'a:'.repeat(20_000)}`);
  maskUrl(`${'amqp://u:p'.repeat(5_000)}`);
  const { user, system } = process.cpuUsage(before);
  t.ok(user + system < 2e6, 'of the processor: the machine may stand still meanwhile');
});
