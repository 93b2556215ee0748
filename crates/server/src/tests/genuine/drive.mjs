// Drives GitHub's own client libraries against a control; writes what came of it as JSON to the file of its first
// argument. What the libraries print goes to the standard output.
import { createHash, randomBytes } from 'node:crypto'
import fs from 'node:fs/promises'
import path from 'node:path'

import { DefaultArtifactClient } from '@actions/artifact'
import * as cache from '@actions/cache'
import * as core from '@actions/core'
import { createRemoteJWKSet, jwtVerify } from 'jose'

const [report, part] = process.argv.slice(2)
const told = {}
const work = process.cwd()

const sha = bytes => createHash('sha256').update(bytes).digest('hex')

async function failure(promise) {
  try {
    await promise
    return null
  } catch (e) {
    return `${e.name}: ${e.message}`
  }
}

async function artifacts() {
  const client = new DefaultArtifactClient()
  const bytes = randomBytes(40 << 20)
  await fs.mkdir('out/deep', { recursive: true })
  await fs.writeFile('out/deep/big.bin', bytes)
  await fs.writeFile('out/small.txt', 'small')
  const files = ['out/deep/big.bin', 'out/small.txt'].map(f => path.join(work, f))
  const big = await client.uploadArtifact('big', files, path.join(work, 'out'), { compressionLevel: 0, retentionDays: 3 })
  told.big = { id: big.id, size: big.size, digest: big.digest }
  told.taken = await failure(client.uploadArtifact('big', files, path.join(work, 'out')))
  await fs.writeFile('notes.txt', 'as it is')
  await client.uploadArtifact('ignored', [path.join(work, 'notes.txt')], work, { skipArchive: true })
  await client.uploadArtifact('gone', [files[1]], path.join(work, 'out'))

  const listed = await client.listArtifacts()
  told.listed = listed.artifacts.map(a => `${a.name} ${a.size > 0} ${a.digest?.slice(0, 7)} ${a.createdAt instanceof Date}`).sort()
  const { artifact } = await client.getArtifact('big')
  const down = await client.downloadArtifact(artifact.id, { path: path.join(work, 'down'), expectedHash: artifact.digest })
  told.mismatch = down.digestMismatch
  told.same = sha(await fs.readFile('down/deep/big.bin')) === sha(bytes)
  told.small = await fs.readFile('down/small.txt', 'utf8')
  const raw = await client.getArtifact('notes.txt')
  await client.downloadArtifact(raw.artifact.id, { path: path.join(work, 'raw') })
  told.raw = await fs.readFile('raw/notes.txt', 'utf8')
  const builtIn = await client.getArtifact('built-in')
  await client.downloadArtifact(builtIn.artifact.id, { path: path.join(work, 'built-in') })
  told.builtIn = await fs.readdir('built-in')
  told.deleted = (await client.deleteArtifact('gone')).id > 0
  told.missing = await failure(client.getArtifact('gone'))
  told.left = (await client.listArtifacts()).artifacts.map(a => a.name).sort()
}

async function caches(prefix, large) {
  const bytes = randomBytes(large)
  await fs.mkdir(`${prefix}/deps`, { recursive: true })
  await fs.writeFile(`${prefix}/deps/a.bin`, bytes)
  const paths = [`${prefix}/deps`]
  told[`${prefix}Saved`] = (await cache.saveCache(paths, `${prefix}-linux-1`)) > 0
  told[`${prefix}Again`] = await cache.saveCache(paths, `${prefix}-linux-1`)
  await fs.rm(`${prefix}/deps`, { recursive: true })
  told[`${prefix}Miss`] = (await cache.restoreCache(paths, `${prefix}-none`)) ?? null
  told[`${prefix}Hit`] = await cache.restoreCache(paths, `${prefix}-linux-2`, [`${prefix}-mac-`, `${prefix}-linux-`])
  told[`${prefix}Same`] = sha(await fs.readFile(`${prefix}/deps/a.bin`)) === sha(bytes)
}

// As the built-in action stores it and looks for it: the same key, the same paths, the same version.
async function shared() {
  await fs.mkdir('ours', { recursive: true })
  told.found = (await cache.restoreCache(['ours'], 'from-us')) ?? null
  told.text = told.found && (await fs.readFile('ours/x', 'utf8'))
  await fs.mkdir('theirs', { recursive: true })
  await fs.writeFile('theirs/y', 'of the client')
  told.saved = (await cache.saveCache(['theirs'], 'from-them')) > 0
}

async function identity() {
  const token = await core.getIDToken('urn:the-cloud')
  const issuer = JSON.parse(Buffer.from(token.split('.')[1], 'base64url')).iss
  const discovery = await (await fetch(`${issuer}/.well-known/openid-configuration`)).json()
  const keys = createRemoteJWKSet(new URL(discovery.jwks_uri))
  const currentDate = new Date(Number(process.env.TEST_NOW))
  const { payload, protectedHeader } = await jwtVerify(token, keys, { issuer: discovery.issuer, audience: 'urn:the-cloud', currentDate })
  told.claims = payload
  told.alg = protectedHeader.alg
  told.wrongAudience = await failure(jwtVerify(token, keys, { audience: 'another', currentDate }))
  const [head, body, signature] = token.split('.')
  const forged = Buffer.from(JSON.stringify({ ...payload, sub: 'repo:windlass/other:ref:refs/heads/main' })).toString('base64url')
  told.forged = await failure(jwtVerify(`${head}.${forged}.${signature}`, keys, { currentDate }))
  told.byDefault = JSON.parse(Buffer.from((await core.getIDToken()).split('.')[1], 'base64url')).aud
}

const parts = {
  artifacts,
  shared,
  identity,
  caches: () => caches('two', 40 << 20),
  cachesOne: () => caches('one', 70 << 20),
}
await parts[part]()
await fs.writeFile(report, JSON.stringify(told))
