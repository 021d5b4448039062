/**
 * The relay put together: the one place where sockets, disk, clock and chance meet the rest. Each part is opened and closed
 * by a function of its own file. The order stands here, once: what is opened last is closed first.
 */
import { randomBytes } from "node:crypto";
import { domainNames } from "../../config/domains.ts";
import type { Config } from "../../config/settings.ts";
import { errorText, Failure } from "../../failure.ts";
import { newFreezeFollower } from "../../server/control/actions.ts";
import { newEndedSessions } from "../../server/control/ended-sessions.ts";
import { newSessionPool } from "../../server/delivery/session-pool.ts";
import { log } from "../../server/log/log.ts";
import { systemDisk } from "../../server/spool/disk.ts";
import type { Envelope } from "../../server/spool/envelope.ts";
import { readCertificate } from "../../server/submission/certificate.ts";
import { newConnectionTable } from "../../server/submission/limits/admission.ts";
import { newAuthRateLimiter } from "../../server/submission/limits/auth-rate-limiter.ts";
import { newMessageMemory } from "../../server/submission/message-memory.ts";
import type { SessionContext } from "../../server/submission/session.ts";
import { version } from "../../version.ts";
import { sshKeyFacts } from "../status/facts.ts";
import { filesOf } from "./certificates.ts";
import { openControl } from "./control.ts";
import { retryPolicyOf, startDeliveries } from "./delivery.ts";
import { keyStates, watchKeys } from "./dkim.ts";
import { openHistory } from "./history.ts";
import { onionOptions, openListeners } from "./listeners.ts";
import { openLocalDoor, settleMaildrop } from "./local.ts";
import { openLogins } from "./logins.ts";
import { newHealthCheck, openHttp, openObservation, stateOf } from "./observation.ts";
import { openPasswordsUsed, withNames } from "./passwords-used.ts";
import { controlSocket } from "./places.ts";
import { openPortalDoor } from "./portal-door.ts";
import { openPrivacy } from "./privacy.ts";
import { openQuota, sharedQuota } from "./quota.ts";
import { openSelfCheck } from "./self-check.ts";
import { reserveOf } from "./session-rules.ts";
import { openSettings } from "./settings-in-use.ts";
import type { openStoreOperations, StoreOperations } from "./shared-control.ts";
import { openRelaySpool } from "./spool.ts";
import { newStatusPage } from "./status-page.ts";
import type { ListenAddresses } from "./systemd.ts";
import { openTlsReports } from "./tls-reports.ts";

export interface Relay {
  /** Re-reads configuration, certificate and passwords; what is wrong is logged, and the old stays in use. */
  reload(): Promise<void>;
  /** Takes nothing new, lets sessions and deliveries end for a while, leaves the rest in the spool. */
  stop(): Promise<void>;
  /** Resolves, perhaps never, when only a new process can take mail again; {@link stop} is then a matter of moments. */
  readonly broken: Promise<void>;
}

/** How long sessions and deliveries may go on after SIGTERM, in milliseconds. systemd's own patience is 90 s. */
const standardGrace = 30_000;

/** And before the queue is handed over. Our choice: a message that is being sent now gets through. */
const shutGrace = 10_000;

/** And when the spool can promise nothing: whatever they did would be in vain, or done twice. */
const brokenGrace = 1_000;

/** A configuration, and how to have it again. */
export interface ConfigSource {
  readonly file: string;
  readonly reread: () => Promise<Config>;
}

/**
 * Starts everything that `config` asks for, at `addresses`; `source` gives the configuration anew.
 * Throws a Failure, with nothing left open, where something cannot be opened.
 */
export async function startRelay(
  config: Config,
  addresses: ListenAddresses,
  { file, reread }: ConfigSource,
): Promise<Relay> {
  const opened: { close(grace: number): Promise<void> }[] = [];
  const open = <Part extends { close(grace: number): Promise<void> }>(part: Part): Part => {
    opened.push(part);
    return part;
  };
  let grace = standardGrace;
  const closeAll = async (): Promise<void> => {
    for (const part of opened.splice(0).reverse()) await part.close(grace);
  };
  try {
    const observation = open(await openObservation(config));
    const { status } = observation;
    const certificate = await orFailure(readCertificate(config.tls));
    const pool = newSessionPool(Date.now);
    open({ close: async () => pool.close() });
    const tlsReports = await openTlsReports(config);
    let limits = (): Config["limits"] => config.limits;
    const cannotListen = certificate instanceof Failure ? certificate : undefined;
    const store = open(
      await openRelaySpool(config, cannotListen, { limits: () => limits(), committed: observation.commit }),
    );
    const { shared } = store;
    const settings = await openSettings(config, pool, tlsReports.observe, shared?.stsCache);
    limits = () => settings.current().config.limits;
    status.dkim = () => keyStates(settings.current().keys);
    open(watchKeys(settings));
    open(tlsReports); // its file is in the spool
    open(await openPrivacy(config));
    const history = open(openHistory(config, () => settings.current().config));
    observation.listen(history.note);
    observation.domains(() => domainNames(settings.current().config));
    const broken = store.spool.broken.then((error) => {
      grace = brokenGrace;
      status.broken = errorText(error);
      log("spool-broken", { reason: errorText(error) });
    });
    const quota = open(
      shared ? sharedQuota(shared.usage, limits) : await openQuota(config.spool.directory, limits),
    );
    const uses = open(await openPasswordsUsed(config.spool.directory, () => settings.current().config));
    const key = certificate instanceof Failure ? undefined : certificate.key;
    const logins = open(
      await openLogins(config, key, (counts) => {
        status.logins = [...counts.values()].reduce((sum, count) => sum + count, 0);
        status.domainLogins = counts;
      }),
    );
    await settleMaildrop(config, store.spool);
    const contactOf = (login: string | null) => settings.current().contactOf(login);
    const deliveries = open(startDeliveries(config, store, () => settings.current().transport, contactOf));
    status.waiting = () => deliveries.waiting();
    open(tlsReports.begin(store.spool, (envelope) => deliveries.wake(envelope)));
    status.pauses = () => deliveries.pauses();
    const authLimiter = shared?.authLimiter ?? newAuthRateLimiter(Date.now, randomBytes(32));
    const common = {
      ...withNames(logins.forSessions, uses),
      connectionTable: newConnectionTable(),
      memory: newMessageMemory(() => settings.current().config.limits["message-memory"]),
      authLimiter,
      isFrozen: (login) => store.frozen.of(login) !== undefined,
      quota: quota.quota,
      spool: store.spool,
      accepted: (envelope) => local.taken(envelope, () => deliverNow(envelope)),
    } satisfies Partial<SessionContext>;
    const context = (): SessionContext => ({
      ...settings.current().rules,
      ...common,
      challenges: logins.challenges(),
    });
    const deliverNow = (envelope: Envelope): void => deliveries.wake(store.freezeHold.applyTo(envelope));
    const check = newHealthCheck(status, store.spool, reserveOf(config), Date.now);
    const listeners = open(
      await openListeners(certificate, {
        addresses,
        onion: await onionOptions(config, context, () => settings.current().config),
        context,
        read: () => readCertificate(settings.current().config.tls),
        files: () => filesOf(settings.current().config.tls),
        status,
        now: Date.now,
      }),
    );
    const local = open(
      await openLocalDoor(config, {
        context,
        settings: () => settings.current().config,
        spool: store.spool,
        contactOf,
        wake: deliverNow,
      }),
    );
    status.sessions = () => {
      const counts = new Map<string, number>();
      for (const { door, sessions } of listeners.states())
        counts.set(door, (counts.get(door) ?? 0) + sessions);
      return config.listen.local === "" ? counts : counts.set("local", local.sessions());
    };
    const endSessions = (login: string): number => listeners.endSessions(login) + local.endSessions(login);
    const endedSessions = newEndedSessions(endSessions, Date.now);
    shared?.frozen.follow(
      newFreezeFollower({
        frozen: store.frozen,
        change: (id, work) => deliveries.change(id, work),
        sessions: { endSessions: endedSessions.end },
        ownMessages: shared.ownMessages,
      }),
    );
    const shut = (to: string): Promise<void> => {
      status.drainedTo = to;
      return listeners.close(shutGrace);
    };
    const frozenHere = () => shared?.frozen.hereOnly() ?? [];
    const operations =
      store.store && (await openOperations(config, store.store, { shut, endedSessions, frozenHere }));
    status.store = operations && { state: operations.state, hosts: operations.queue.hosts };
    const relayState = () =>
      stateOf(status, {
        check,
        sessions: () => listeners.sessions() + local.sessions(),
        listeners: () => listeners.states(),
        nearLimits: (share, most) => quota.quota.nearLimits(share, most),
        blocks: () => authLimiter.blocks(),
      });
    open(
      await openControl(
        controlSocket(config),
        {
          spool: store.deliverable,
          frozen: store.frozen,
          freezeHold: store.freezeHold,
          sessions: {
            sessionsOf: (login) => listeners.sessionsOf(login) + local.sessionsOf(login),
            endSessions,
            limitsOf: (login) => quota.quota.useOf(login),
            blocksOf: (login) => authLimiter.blocksOf(login),
            unblock: (what) => authLimiter.unblock(what),
            whyUnknown: (login) => logins.whyUnknown(login),
            sent: quota.sent,
            addSent: quota.add,
          },
          relayState,
          retryPolicy: retryPolicyOf(config),
          now: Date.now,
          hostname: config.hostname,
          contactOf,
          ...(operations && { shared: operations.queue }),
        },
        deliveries,
        { disk: systemDisk, directory: config.spool.directory, owner: store.owner, shut },
        operations?.control,
      ),
    );
    open(
      await openPortalDoor(config, {
        context,
        settings: () => settings.current().config,
        frozen: store.frozen,
        whyUnknown: (login) => logins.whyUnknown(login),
        passwordsOf: uses.passwordsOf,
        now: Date.now,
      }),
    );
    const selfCheck = open(openSelfCheck(file, Date.now));
    const page = newStatusPage(() => settings.current().config, {
      state: relayState,
      frozen: () => store.frozen.all().map(({ login }) => login),
      hosts: async () => status.store?.hosts().catch(() => []) ?? [],
      history,
      checks: selfCheck.latest,
      now: Date.now,
    });
    const sshKeys = async () => (await sshKeyFacts(settings.current().config)).sshKeys;
    open(await openHttp(addresses.http, config, observation, { check, sshKeys, status: page }));
    const ids = await store.spool.ids();
    log("started", { version, hostname: config.hostname, waiting: ids.length });
    store.markStarted();
    history.recall(ids);

    return {
      async reload() {
        try {
          const read = await reread();
          const domains = await logins.prepare(read.domains);
          const restart = await settings.replace(read).catch(async (error: unknown) => {
            await domains.drop();
            throw error;
          });
          await domains.use();
          if (restart.length > 0) log("restart-needed", { settings: restart.join(", ") });
          await observation.reopenLog();
          log("reloaded", {});
        } catch (error) {
          if (!(error instanceof Failure)) throw error;
          log("reload-refused", { reason: errorText(error).replaceAll("\n", "; ") });
        }
        await listeners.renew();
        await logins.reload();
      },
      async stop() {
        status.stopping = true;
        await closeAll();
      },
      broken,
    };
  } catch (error) {
    grace = brokenGrace; // somebody may have come already
    await closeAll();
    throw error;
  }
}

/** Who has files loads nothing of it. */
async function openOperations(...given: Parameters<typeof openStoreOperations>): Promise<StoreOperations> {
  return (await import("./shared-control.ts")).openStoreOperations(...given);
}

/** What `reading` resolves to, or the Failure that it rejects with. */
async function orFailure<Value>(reading: Promise<Value>): Promise<Value | Failure> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof Failure) return error;
    throw error;
  }
}
