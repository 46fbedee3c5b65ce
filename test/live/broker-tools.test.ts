/**
 * `umbel purge`, `list`, `amqp` and `migrate` on the three brokers, beside Celery's own where there are: what the one says and does, the other says and does.
 */
import { spawn, spawnSync } from 'node:child_process';
import t, { type Test } from 'tap';
import type { Broker, Delivery, QueueDeclaration } from '../../src/broker/broker.ts';
import { openConnections } from '../../src/client/connections.ts';
import { createLogger } from '../../src/log/create-logger.ts';
import type { Message } from '../../src/protocol/message.ts';
import { openInbox, textMessage, textOf } from '../broker/inbox.ts';
import { eventually } from '../pool/eventually.ts';
import { celeryMissing, PythonCelery } from '../python-celery.ts';
import { RabbitmqVhost } from '../rabbitmq-vhost.ts';
import { RedisServer } from '../redis-server.ts';
import { TcpProxy } from '../tcp-proxy.ts';
import { endsWithUs } from '../test-server.ts';
import { type BrokerKind, brokerKinds } from './live-broker.ts';
import { LiveFolder } from './live-folder.ts';
import { umbelBinary } from './umbel-binary.ts';

t.setTimeout(300_000);

interface Places {
  readonly folder: LiveFolder;
  /** A place of its own for each name. */
  url(kind: BrokerKind, name: string): Promise<string>;
}

void t.test('the tools of an operator', { skip: celeryMissing() }, async (t) => {
  const redis = await RedisServer.start(t);
  const databases: string[] = [];
  const vhosts = new Map<string, RabbitmqVhost>();
  const folder = new LiveFolder(t);
  const places: Places = {
    folder,
    url: async (kind, name) => {
      if (kind === 'sqlite') return folder.sqliteUrl(`${name}.db`);
      if (kind === 'redis') {
        if (!databases.includes(name)) databases.push(name);
        return redis.url(databases.indexOf(name));
      }
      const vhost = vhosts.get(name) ?? (await RabbitmqVhost.open(t));
      vhosts.set(name, vhost);
      return vhost.url();
    },
  };
  await purging(t, places);
  await operating(t, places);
  await migrating(t, places);
  await killed(t, places);
});

function celery(t: Test, broker: string): (...args: string[]) => { readonly status: number | null; readonly stdout: string } {
  const { folder } = new PythonCelery(
    t,
    `from celery import Celery\napp = Celery('proj', broker='${broker}')\napp.conf.task_queue_max_priority = None\n`,
  );
  return (...args) =>
    spawnSync('/usr/bin/python3', ['-m', 'celery', '-A', 'tasks', ...args], {
      cwd: folder,
      encoding: 'utf8',
      // With NO_COLOR, which tap sets, `celery amqp` ends with a TypeError.
      env: { PATH: process.env.PATH, LANG: 'C.UTF-8', C_FORCE_ROOT: '1' },
      input: '',
    });
}

async function purging(t: Test, { folder, url }: Places): Promise<void> {
  for (const kind of brokerKinds) {
    await t.test(`purge: ${kind}`, async (t) => {
      const broker = await url(kind, 'purge');
      const umbel = (...args: string[]) => folder.umbel(['-b', broker, ...args]);
      const send = async (...more: string[]): Promise<void> => void (await umbel('call', 'proj.nothing', ...more));
      for (const priority of ['0', '3', '9']) await send('--priority', priority);
      await send('--queue', 'mail');
      await send('--countdown', '3600');
      t.match(await umbel('purge'), {
        status: 1,
        stdout: '',
        stderr: /Are you sure you want to delete all tasks\? \[y\/N\]: \nAborted!\n$/,
      });
      t.match(await umbel('purge', '-f', '-X', 'celery'), { status: 0, stdout: '' });
      t.match(await umbel('purge', '-f', '-Q', 'celery,mail', '-j'), { status: 0, stdout: '{"celery":4,"mail":1}\n' });
      const none = await umbel('purge', '-f');
      t.match(none, { status: 0, stdout: 'No messages purged from 1 queue.\n' });
      if (kind === 'sqlite') return;
      const python = celery(t, broker);
      await send();
      await send('--priority', '5');
      const purged = 'Purged 2 messages from 1 known task queue.\n';
      t.match(python('purge', '-f'), { status: 0, stdout: purged });
      python('call', 'proj.nothing');
      await send();
      t.match(await umbel('purge', '-f'), { status: 0, stdout: purged });
      if (kind === 'redis') t.equal(python('purge', '-f').stdout, none.stdout);
    });
  }
}

async function operating(t: Test, { folder, url }: Places): Promise<void> {
  for (const kind of brokerKinds) {
    await t.test(`list and amqp: ${kind}`, async (t) => {
      const broker = await url(kind, 'amqp');
      const umbel = (...args: string[]) => folder.umbel(['-b', broker, ...args]);
      await umbel('call', 'proj.nothing', '--task-id', 'one');
      const listed = await umbel('list', 'bindings');
      if (kind === 'rabbitmq') t.match(listed, { status: 64, stderr: /Your transport cannot list bindings: .*\[NOT_SUPPORTED\]/ });
      else t.match(listed, { status: 0, stdout: /^Queue {24}Exchange {21}Routing Key\n.*\ncelery {23}celery {23}celery\n$/ });
      const consumers = kind === 'rabbitmq' ? '0' : '-';
      t.match(await umbel('list', 'queues'), { status: 0, stdout: new RegExp(`\\ncelery {23}1 {28}${consumers}\\n$`) });
      const count = kind === 'rabbitmq' ? '0' : '?';
      t.equal((await umbel('amqp', 'queue.declare', 'celery', 'yes')).stdout, `queue:celery messages:1 consumers:${count}\nOK\n`);
      t.match(await umbel('amqp', 'basic.get', 'celery'), {
        status: 0,
        stdout:
          /'delivery_tag': 1,[\s\S]*'message_count': 0,[\s\S]*'redelivered': False,[\s\S]*'routing_key': 'celery'[\s\S]*'task': 'proj\.nothing'[\s\S]*\}\}\nOK\n$/,
      });
      t.match(await umbel('amqp', 'queue.purge', 'celery'), { status: 0, stdout: '1 messages deleted.\nOK\n' }, 'it was back');
      t.match(await umbel('amqp', 'queue.purge', 'no-such'), { status: 69, stderr: /\[BROKER_REFUSED\]\n$/ });
      const session = `exchange.declare ${kind}.x topic no yes\nqueue.declare sport no yes\nqueue.bind sport ${kind}.x sport.*\nbasic.publish 'one two' ${kind}.x sport.golf yes\nbasic.get sport yes\nqueue.delete sport\nexchange.delete ${kind}.x yes\n`;
      const shell = await folder.run('sh', ['-c', `printf %s "$SESSION" | exec "$UMBEL" -b "$BROKER" amqp`], {
        env: { SESSION: session, BROKER: broker, UMBEL: umbelBinary },
      });
      t.match(
        shell,
        {
          status: 0,
          stdout:
            /^OK\nqueue:sport messages:0 consumers:[0?]\nOK\nOK\nOK\n\{'body': 'one two',[\s\S]*\}\}\nOK\n0 messages deleted\.\nOK\nOK\n$/,
        },
        shell.stderr,
      );
      if (kind === 'sqlite') return;
      const python = celery(t, broker);
      if (kind === 'redis') t.equal(python('list', 'bindings').stdout, listed.stdout);
      const ours = await umbel('amqp', 'queue.declare', 'celery', 'yes');
      const theirs = python('amqp', 'queue.declare', 'celery', kind === 'rabbitmq' ? 'yes' : 'no');
      t.match(theirs, { status: ours.status, stdout: ours.stdout.replace('consumers:?', 'consumers:0') });
    });
  }
}

const queues: readonly QueueDeclaration[] = [
  { name: 'celery' },
  { name: 'feeds', exchange: 'news', exchangeType: 'topic', routingKey: 'sport.#' },
];
const configuration = `[queues.celery]
exchange = "celery"
[queues.feeds]
exchange = "news"
exchange_type = "topic"
routing_key = "sport.#"
[redis]
lease_seconds = 2
`;

/** A broker in this process. */
async function brokerAt(t: Test, { folder }: Places, brokerUrl: string): Promise<Broker> {
  const { broker } = openConnections({
    brokerUrl,
    backendUrl: 'disabled',
    env: folder.env,
    workdir: folder.path,
    synchronous: 'normal',
    busyTimeoutMs: 10_000,
    leaseMs: 30_000,
    resultExpiresMs: null,
    log: createLogger({ level: 'critical', format: 'text', processName: 'test' }),
  });
  await broker.start();
  t.teardown(() => broker.stop());
  return broker;
}

/** All that is in the queue, taken out of it. */
async function takeAll(broker: Broker, queue: string): Promise<readonly Delivery[]> {
  const count = await broker.countReady(queue);
  const { subscription, deliveries } = await openInbox(broker, [queue]);
  const taken = await deliveries.take(count);
  for (const delivery of taken) await subscription.ack(delivery);
  await subscription.release();
  return taken;
}

async function migrating(t: Test, places: Places): Promise<void> {
  const { folder, url } = places;
  const config = folder.write('migrate.toml', configuration);
  for (const from of brokerKinds) {
    for (const to of brokerKinds) {
      await t.test(`migrate: ${from} to ${to}`, async (t) => {
        const [sourceUrl, destinationUrl] = [await url(from, 'left'), await url(to, 'right')];
        const [source, destination] = [await brokerAt(t, places, sourceUrl), await brokerAt(t, places, destinationUrl)];
        for (const queue of queues) await source.declareQueue(queue);
        const sent: Message[] = [0, 1, 2].map((n) => ({
          properties: {
            contentType: 'application/data',
            contentEncoding: 'binary',
            correlationId: `id${n}`,
            replyTo: 'r',
            deliveryMode: 2,
            priority: n,
          },
          headers: { task: `proj.t${n}`, id: `id${n}`, eta: null, timelimit: [null, 3], deep: { list: [1, 'ü', true, 2.5] } },
          body: Buffer.from([0, 255, 10, n]),
        }));
        for (const message of sent) await source.publish(message, { exchange: '', routingKey: 'celery' });
        await source.publish(textMessage('golf'), { exchange: 'news', routingKey: 'sport.golf' });
        // RabbitMQ has all tests of a run to serve: what is silence there may be less where a server or a file has us alone.
        const seconds = from === 'rabbitmq' ? '2.5' : '0.5';
        const ran = await folder.umbel(['--config', config, 'migrate', '-a', '-t', seconds, sourceUrl, destinationUrl]);
        t.match(ran, { status: 0, stderr: /^4 tasks migrated\.$/m });
        t.same(ran.stdout.match(/proj\.t\d\[id\d\]/g)?.toSorted(), ['proj.t0[id0]', 'proj.t1[id1]', 'proj.t2[id2]']);
        t.equal((await source.countReady('celery')) + (await source.countReady('feeds')), 0);
        const found = (await takeAll(destination, 'celery')).toSorted(
          (a, b) => Number(a.properties.priority) - Number(b.properties.priority),
        );
        t.equal(found.length, 3);
        for (const [index, { properties, headers, body, exchange, routingKey }] of found.entries()) {
          t.match(properties, sent[index]!.properties);
          t.strictSame(headers, sent[index]!.headers);
          t.strictSame(body, sent[index]!.body);
          t.match({ exchange, routingKey }, { exchange: '', routingKey: 'celery' });
        }
        const feeds = await takeAll(destination, 'feeds');
        const place = to === 'rabbitmq' ? { exchange: '', routingKey: 'feeds' } : { exchange: 'news', routingKey: 'sport.golf' };
        t.match(feeds, [place]);
        await destination.publish(textMessage('bound'), { exchange: 'news', routingKey: 'sport.x', mandatory: true });
        t.equal((await takeAll(destination, 'feeds')).length, 1, 'the queue is bound there');
      });
    }
  }

  await t.test('migrate: as Celery does, message by message', async (t) => {
    const sourceUrl = await url('redis', 'python');
    const tasks = celery(t, sourceUrl);
    tasks('call', 'proj.add', '-a', '[1, 2]');
    for (const n of ['2', '3']) await folder.umbel(['-b', sourceUrl, 'call', 'proj.add', '-a', `[${n}, 2]`]);
    const [theirs, ours] = [await url('rabbitmq', 'theirs'), await url('rabbitmq', 'ours')];
    t.equal(tasks('migrate', '-t', '1', sourceUrl, theirs).status, 0);
    t.match(await folder.umbel(['migrate', '-t', '1', sourceUrl, ours]), {
      status: 0,
      stderr: /3 tasks migrated; the source has them still/,
    });
    const contents = async (at: string) => {
      const taken = await takeAll(await brokerAt(t, places, at), 'celery');
      return taken
        .map(({ headers, properties, body }) => ({ headers, properties, body: String(body) }))
        .toSorted((a, b) => (a.body < b.body ? -1 : 1));
    };
    const [expected, got] = [await contents(theirs), await contents(ours)];
    t.equal(expected.length, 3);
    for (const [index, { headers, properties, body }] of expected.entries()) {
      t.same(got[index]!.body, body);
      t.match(got[index]!.headers, headers);
      t.match(got[index]!.properties, {
        contentType: properties.contentType,
        correlationId: properties.correlationId,
        priority: properties.priority,
      });
    }
    t.equal(await (await brokerAt(t, places, sourceUrl)).countReady('celery'), 3, 'both have left them there');
  });
}

async function killed(t: Test, places: Places): Promise<void> {
  const { folder, url } = places;
  const count = 2000;
  const config = folder.file('migrate.toml');
  for (const [from, to] of [
    ['redis', 'rabbitmq'],
    ['rabbitmq', 'sqlite'],
    ['sqlite', 'redis'],
  ] as const) {
    await t.test(`migrate, killed in the middle: ${from} to ${to}`, async (t) => {
      const [sourceUrl, destinationUrl] = [await url(from, 'killed'), await url(to, 'heir')];
      const [source, destination] = [await brokerAt(t, places, sourceUrl), await brokerAt(t, places, destinationUrl)];
      await source.declareQueue({ name: 'celery' });
      const ids = Array.from({ length: count }, (_, index) => `id${index}`);
      await Promise.all(ids.map((id) => source.publish(textMessage(id), { exchange: '', routingKey: 'celery' })));
      // On Redis the killed one is found out by somebody who has been there for a whole lease.
      const options = ['--config', config, 'migrate', '-a', '-t', from === 'redis' ? '8' : '1', '-Q', 'celery'];
      // Through this process: while it is busy with something else, the migration cannot come to its end either.
      const way = to === 'sqlite' ? [await throughUs(t, sourceUrl), destinationUrl] : [sourceUrl, await throughUs(t, destinationUrl)];
      await t.resolves(killedAfter(folder, [...options, ...way], 200));
      const arrived = new Map<string, number>();
      const collect = async (): Promise<number> => {
        for (const delivery of await takeAll(destination, 'celery'))
          arrived.set(textOf(delivery), (arrived.get(textOf(delivery)) ?? 0) + 1);
        return arrived.size;
      };
      const first = await collect();
      t.ok(first >= 200 && first < count, `it was in the middle: ${first}`);
      await eventually(t, 'all have arrived', async () => {
        t.match(await folder.umbel([...options, sourceUrl, destinationUrl]), { status: 0 });
        return (await collect()) === count;
      });
      const repeated = [...arrived.values()].reduce((sum, times) => sum + times, 0) - count;
      t.ok(repeated <= 200, `no more comes twice than was under way: ${repeated}`);
      t.equal(await source.countReady('celery'), 0);
    });
  }
}

/** Another way to the same server. */
async function throughUs(t: Test, url: string): Promise<string> {
  const place = new URL(url);
  place.port = String((await TcpProxy.start(t, Number(place.port))).port);
  return place.href;
}

/** Resolves when it has been killed, after it has said so many lines. */
function killedAfter(folder: LiveFolder, args: readonly string[], lines: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const [program, ...rest] = ['env', '-u', 'NODE_OPTIONS', umbelBinary, ...args] as [string, ...string[]];
    const child = spawn(program, rest, { cwd: folder.path, env: folder.env, stdio: ['ignore', 'pipe', 'inherit'] });
    endsWithUs(child);
    let seen = 0;
    child.stdout.on('data', (chunk: Buffer) => {
      seen += String(chunk).split('\n').length - 1;
      if (seen >= lines) child.kill('SIGKILL');
    });
    child.on('error', reject);
    child.on('close', (_status, signal) =>
      signal === 'SIGKILL' ? resolve() : reject(new Error(`it ended by itself after ${seen} lines`)),
    );
  });
}
