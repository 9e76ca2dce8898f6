#!/usr/bin/env node
import { Command, CommanderError, InvalidArgumentError, Option } from 'commander';
import { BarricataError, messageOf } from '../base/errors.js';
import { DEFAULT_CONFIG, VERSION } from './options.js';
import { CommandExit, EXIT, tell } from './output.js';

// Each command declares the options that commander gives it; the registration below is what makes that true.
type Action = (args: readonly string[], options: never) => Promise<number>;

/** Loads a command's module only when the command is used, and turns its result into the exit code. */
function lazily(load: () => Promise<{ run: Action }>): (...received: unknown[]) => Promise<void> {
  return async (...received) => {
    const command = received[received.length - 1] as Command;
    const { run } = await load();
    process.exitCode = await run(
      command.processedArgs.flat().filter((a) => a !== undefined),
      command.optsWithGlobals(),
    );
  };
}

function wholeNumber(value: string): number {
  if (!/^\d{1,10}$/.test(value)) throw new InvalidArgumentError('a whole number is needed');
  return Number(value);
}

function onStop(): Option {
  return new Option('--on-stop <what>', 'rules and sets at the end (default: as configured)').choices([
    'keep',
    'remove',
  ]);
}

/** Collects the values of an option that may be repeated. */
function repeated(value: string, before: readonly string[] = []): readonly string[] {
  return [...before, value];
}

function build(): Command {
  const program = new Command('barricata')
    .description('Blocks attackers that Suricata and the packet filter see, and nobody else.')
    .version(VERSION)
    .option('--config <file>', 'configuration file', DEFAULT_CONFIG)
    .option('-o, --output <form>', 'table, json or tsv (default: table on a terminal, tsv in a pipe)')
    .option('--dry-run', 'say what would happen and change nothing')
    .option('--as <name>', 'who acts, for the journal', process.env['SUDO_USER'] ?? process.env['USER'] ?? 'root')
    .option('-q, --quiet', 'print nothing, answer by exit code')
    .showHelpAfterError('(barricata --help shows the commands)')
    .exitOverride();

  const verb = (usage: string, description: string, load: () => Promise<{ run: Action }>) =>
    program.command(usage).description(description).action(lazily(load)).exitOverride();

  verb('run', 'run in the foreground', () => import('./commands/run.js'))
    .addOption(onStop())
    .option('--embedded-redis', 'use a private redis-server whatever the file says');
  verb(
    'start',
    'start in the background (systemd where it knows Barricata)',
    () => import('./commands/start.js'),
  ).addOption(onStop());
  verb('stop', 'stop the running daemon', () => import('./commands/stop.js'));
  verb('status', 'one screen: mode, alerts, Redis, kernel, queue', () => import('./commands/status.js'));
  verb('doctor', 'check everything and name the command that repairs it', () => import('./commands/doctor.js'));
  verb('list', 'what is banned', () => import('./commands/list.js'))
    .option('--by <order>', 'expiry or address', 'expiry')
    .option('--would', 'what would have been banned')
    .option('--source <source>', 'suricata, filter, manual or import')
    .option('--sid <sid>', 'bans by this signature', wholeNumber)
    .option('--ticket <ticket>', 'bans with this ticket')
    .option('--inside <cidr>', 'bans inside this network')
    .option('--watch', 'show again every two seconds');
  verb('ban [address]', 'ban an address or network', () => import('./commands/ban.js'))
    .option('--for <duration>', '90s 10m 4h 7d forever')
    .option('--reason <text>', 'why')
    .option('--ticket <ticket>', 'ticket of your tracker')
    .option('--replace', 'also when this shortens the present ban')
    .option('--held', 'write back the keys of a held mass loss')
    .option('--yes', 'do not ask');
  verb('unban [address]', 'lift a ban', () => import('./commands/unban.js'))
    .option('--reason <text>', 'why')
    .option('--ticket <ticket>', 'ticket of your tracker')
    .option('--and-allow <duration>', 'also never ban it for this long')
    .option('--false-positive', 'its signatures do not ban it again for 30 days')
    .option('--siblings', 'with --false-positive: also every other ban by these signatures')
    .option('--sid <sid>', 'every ban by this signature', wholeNumber)
    .option('--since <duration>', 'with --sid: only where its last alert is at most this old')
    .option('--held', 'accept a held mass loss')
    .option('--yes', 'do not ask');
  verb('extend <address>', 'make a ban last longer', () => import('./commands/extend.js'))
    .requiredOption('--to <duration>', 'time from now')
    .option('--reason <text>', 'why');
  verb('note <address> <text>', 'write something about a ban', () => import('./commands/note.js')).option(
    '--ticket <ticket>',
    'ticket of your tracker',
  );
  verb(
    'allow <address...>',
    'never ban an address: allow ADDRESS, allow list, allow remove ADDRESS',
    () => import('./commands/allow.js'),
  )
    .option('--for <duration>', '90s 10m 4h 7d forever')
    .option('--reason <text>', 'why')
    .option('--ticket <ticket>', 'ticket of your tracker');
  verb(
    'why <address>',
    'why an address is banned, or what kept it from being banned',
    () => import('./commands/why.js'),
  );
  verb(
    'flags [words...]',
    'own hosts that called out to an attacker or move inside: flags, flags ack ADDRESS SID, flags reopen ADDRESS SID',
    () => import('./commands/flags.js'),
  )
    .option('--state <state>', 'only those that are open, or acknowledged')
    .option('--owner <name>', 'with ack: who looks after it')
    .option('--reason <text>', 'why');
  verb('audit [address]', 'who did what, newest first, from the journal', () => import('./commands/audit.js'))
    .option('--since <duration>', 'only what is at most this old')
    .option('--by <name>', 'only what this person did')
    .option('--act <act>', 'only this: ban, extend, unban, edit, note, allow, disallow, would, flag, mode...');
  verb(
    'replay <eve...>',
    'what a policy would have done with records of the past',
    () => import('./commands/replay.js'),
  )
    .option('--policy <file>', 'decide by this file: a whole configuration, or only its policy')
    .option('--against <policy>', 'compare with the current policy (current), or with another file')
    .option('--since <duration>', 'only alerts of this long before the newest record')
    .option('--home <cidr>', 'own network instead of those configured; may be repeated', repeated)
    .option(
      '--rules <file>',
      'rules of Suricata, for what alerts do not say and for captures; may be repeated',
      repeated,
    )
    .option('--quarantine', 'take the rules of --rules for new: they only would ban, until they pass')
    .option('--compare-naive', 'count what "ban src_ip at severity 1-2" would have banned');
  verb(
    'learn [files...]',
    'propose thresholds from normal traffic: of the running filter, or of captures and eve files',
    () => import('./commands/learn.js'),
  )
    .option('--for <duration>', 'have the running daemon learn for this long')
    .option('--background', 'with --for: do not wait for the end')
    .option('--status', 'what is known so far, or was learned last')
    .option('--stop', 'end learning, and show what is known')
    .option('--tight', 'propose what was seen also where that is below the shipped defaults')
    .option('--out <file>', 'write the proposal to this file')
    .option('--home <cidr>', 'with files: own network instead of those configured; may be repeated', repeated);
  verb(
    'selftest',
    "attack a throw-away Barricata in namespaces with every detector's attack, and score it",
    () => import('./commands/selftest.js'),
  ).option('--only <names>', 'only these attacks, such as syn_rate,port_scan');
  verb('mode [what...]', 'show or set: observe, enforce, off, pause DURATION', () => import('./commands/mode.js'))
    .option('--host <name>', 'this host only')
    .option('--reason <text>', 'why');
  verb(
    'policy <action> [file]',
    'change the configuration with care: policy check, diff, apply, undo, list',
    () => import('./commands/policy.js'),
  )
    .option('--yes', 'do not ask')
    .option('--reason <text>', 'why')
    .option('--ticket <ticket>', 'ticket of your tracker')
    .option('--to <version>', 'with undo: a number or policy version of `policy list`');
  verb(
    'cleanup',
    'remove every rule and set that Barricata made, and nothing else',
    () => import('./commands/cleanup.js'),
  );
  return program;
}

// Whoever reads may have seen enough (`| head`). The command goes on, and answers by its exit code.
for (const stream of [process.stdout, process.stderr]) {
  stream.on('error', (error: NodeJS.ErrnoException) => {
    if (error.code === 'EPIPE') return;
    if (stream === process.stdout) tell(unexpected(error));
    process.exit(EXIT.unreachable);
  });
}

try {
  await build().parseAsync();
} catch (error) {
  if (error instanceof CommandExit) {
    if (error.message) tell(error.message);
    process.exitCode = error.code;
  } else if (error instanceof CommanderError) {
    process.exitCode = error.exitCode === 0 ? EXIT.done : EXIT.usage;
  } else if (error instanceof BarricataError) {
    tell(messageOf(error));
    process.exitCode = error.name === 'ConfigError' ? EXIT.usage : EXIT.unreachable;
  } else {
    tell(unexpected(error));
    process.exitCode = EXIT.unreachable;
  }
}

/** One line for what no boundary has put into words; never exit code 1, which is an answer. */
function unexpected(error: unknown): string {
  const message = messageOf(error)
    .trim()
    .replace(/\s*\n\s*/g, '; ');
  const { code, syscall } = error as { code?: unknown; syscall?: unknown };
  if (code === 'EACCES' || code === 'EPERM') return `${message}: run as root (sudo)`;
  if (typeof syscall === 'string') return message;
  if (process.env['BARRICATA_LOG'] === 'debug' && error instanceof Error) return error.stack ?? message;
  return `${message} (a defect in Barricata; BARRICATA_LOG=debug shows where)`;
}
