//! The device that a session is bound to.

use serde::Serialize;

use crate::{
    backend::{
        decide::Persistence,
        device_binding::{Binding, DeviceBinding, Presence},
    },
    crypto::device_proof::{DeviceKey, NoProof, Proof},
    error::Error,
    record::{change::Change, device::BoundDevice, owner::Owner},
    session::{Session, sessions::TokenTransport, state::State},
};
use cloakroom_store::clock::Timestamp;

/// The device that a session is bound to. [`Session::device`] returns it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[non_exhaustive]
pub struct Device {
    /// The time at which the browser registered the key of the device.
    pub since: Timestamp,
    /// Whether this request comes from the device: it has proved its key within the last minutes, or has just
    /// been registered.
    pub is_present: bool,
}

/// The result of a browser's request about its device.
#[derive(Debug)]
pub(crate) enum DeviceOutcome {
    /// The device has proved its key.
    Proven(BoundDevice),
    /// The device has to sign this challenge.
    Challenged(String),
    /// The session has no such device, or has ended.
    Unknown,
    /// The session has just got another token, which the browser sends next time.
    Moved,
    Refused(DeviceRefusal),
}

/// The reason why a proof is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum DeviceRefusal {
    /// The session has no owner.
    NotSignedIn,
    /// The session is bound to another key.
    BoundToOther,
    /// The challenge is older than five to ten minutes, or was for another session.
    Challenge,
    /// The signature is not of the device's key.
    Signature,
    Proof(NoProof),
}

impl DeviceRefusal {
    /// Returns one word for the response and the metrics.
    pub(crate) fn code(self) -> &'static str {
        match self {
            Self::NotSignedIn => "device_not_signed_in",
            Self::BoundToOther => "device_bound_to_other",
            Self::Challenge => "device_challenge",
            Self::Signature => "device_signature",
            Self::Proof(NoProof::Malformed) => "device_proof",
            Self::Proof(NoProof::Algorithm) => "device_algorithm",
            Self::Proof(NoProof::Key) => "device_key",
        }
    }
}

impl From<NoProof> for DeviceRefusal {
    fn from(problem: NoProof) -> Self {
        Self::Proof(problem)
    }
}

impl Session {
    /// Returns the device that the session is bound to, for an account page or a risk assessment. Returns
    /// `None` if the browser supports no binding, or has not registered yet.
    ///
    /// The setting [`device_binding`](crate::SessionsBuilder::device_binding) switches it on.
    ///
    /// ```
    /// # use cloakroom_core as cloakroom;
    /// # let session = cloakroom::testing::session();
    /// assert!(session.device().is_none());
    /// ```
    pub fn device(&self) -> Option<Device> {
        self.sessions().context().device_binding()?;
        let state = self.state();
        let device = state.work.record().device.as_ref()?;
        let is_present = state.presence_of(device) != Presence::Missing;
        Some(Device { since: device.since, is_present })
    }

    /// Returns how this session can be bound. A bearer's token cannot.
    fn binding(&self) -> Option<&Binding> {
        let sessions = self.sessions();
        let binding = sessions.context().device_binding();
        binding.filter(|_| sessions.token_transport() == TokenTransport::Cookie)
    }

    /// Returns whether the policy refuses this request where a recent sign-in is required. Also for a cookie's
    /// token that comes as a bearer's.
    pub(crate) fn lacks_device(&self) -> bool {
        let is_strict = |binding: &Binding| {
            matches!(binding.policy, DeviceBinding::Sensitive | DeviceBinding::Require)
        };
        self.sessions().context().device_binding().is_some_and(is_strict)
            && self.device().is_some_and(|device| !device.is_present)
    }

    /// Asks the browser to register its device, because the visitor has just proved who they are. A device
    /// that is missing is forgotten: its browser has lost the key, or the visitor is at another one.
    pub(super) fn ask_for_device(&self) -> Result<(), Error> {
        if self.binding().is_none() {
            return Ok(());
        }
        let absent = |state: &State| {
            let device = state.work.record().device.as_ref()?;
            (state.presence_of(device) == Presence::Missing).then_some(device.id)
        };
        let mut state = self.state();
        if let Some(id) = absent(&state) {
            state.work.change(Change::Unbind(id))?;
        }
        state.effects.ask_for_device();
        Ok(())
    }

    /// Returns the value of `Secure-Session-Registration` for the response, if the request asks for a device.
    pub(super) fn registration(&self) -> Option<String> {
        let binding = self.binding()?;
        let state = self.state();
        let record = state.work.record();
        let is_stored = matches!(state.work.persistence(), Persistence::Stored { .. });
        if !state.effects.asks_for_device() || !is_stored || record.device.is_some() {
            return None;
        }
        Some(binding.registration(record.owner.as_ref()?.id, self.now()))
    }

    /// Binds the session to the key of `proof`, and commits that. Of two registrations the first counts.
    pub(crate) async fn register_device(&self, proof: &str) -> Result<DeviceOutcome, Error> {
        let (owner, key) = match self.registered_key(proof) {
            Ok(registered) => registered,
            Err(_) if self.has_moved() => return Ok(DeviceOutcome::Moved),
            Err(refusal) => return Ok(DeviceOutcome::Refused(refusal)),
        };
        if self.state().work.record().device.is_none() {
            let device = BoundDevice::new(&key, self.now())?.into();
            self.state().work.change(Change::Bind { session: owner.id, device })?;
            self.commit().await?;
        }
        let device = self.state().work.record().device.clone();
        Ok(match device {
            Some(device) if device.key().as_ref() == Some(&key) => DeviceOutcome::Proven(*device),
            Some(_) => DeviceOutcome::Refused(DeviceRefusal::BoundToOther),
            None => DeviceOutcome::Moved,
        })
    }

    /// Returns the key of a proof that signs the challenge of this session's sign-in, and who signed in.
    fn registered_key(&self, proof: &str) -> Result<(Owner, DeviceKey), DeviceRefusal> {
        let proof = Proof::parse(proof)?;
        let (Some(owner), Some(binding)) = (self.owned(), self.binding()) else {
            return Err(DeviceRefusal::NotSignedIn);
        };
        if !binding.accepts_registration(&proof.challenge, owner.id, self.now()) {
            return Err(DeviceRefusal::Challenge);
        }
        Ok((owner, proof.own_key()?))
    }

    /// Returns whether the session has just got another token, which the browser sends next time.
    fn has_moved(&self) -> bool {
        self.state().work.persistence() == Persistence::Ended
    }

    /// Checks the proof of the device whose binding has this id. Without a proof, returns the challenge.
    pub(crate) fn refresh_device(&self, id: &str, proof: Option<&str>) -> DeviceOutcome {
        if self.has_moved() {
            return DeviceOutcome::Moved;
        }
        let device = self.state().work.record().device.clone();
        let device = device.filter(|device| device.id.to_string() == id);
        let (Some(device), Some(binding)) = (device, self.binding()) else {
            return DeviceOutcome::Unknown;
        };
        let challenge = || DeviceOutcome::Challenged(binding.challenge(&device, self.now()));
        let Some(proof) = proof else { return challenge() };
        match Proof::parse(proof) {
            Err(problem) => DeviceOutcome::Refused(problem.into()),
            Ok(proof) if !device.key().is_some_and(|key| proof.is_signed_by(&key)) => {
                DeviceOutcome::Refused(DeviceRefusal::Signature)
            }
            // A browser may sign a challenge that it got some time ago.
            Ok(proof) if !binding.accepts_refresh(&proof.challenge, &device, self.now()) => {
                challenge()
            }
            Ok(_) => DeviceOutcome::Proven(*device),
        }
    }
}
