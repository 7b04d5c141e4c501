//! Settings: files, environments, names of `sysctl`.

use mbuf::{Pool, Tunables};

/// Text that may be anything, as a file of settings, as environment variables, and line by line as `sysctl` names and
/// values of a live pool. What is refused changes nothing.
pub fn settings(bytes: &[u8]) {
    let mut tunables = Tunables::new();
    match tunables.read_from("fuzz.conf", bytes) {
        Err(errors) => {
            assert!(errors.len() > 0 && errors.iter().all(|error| !error.to_string().is_empty()));
            assert_eq!(tunables, Tunables::new(), "a refused file set something");
        }
        Ok(()) => {
            // The same once more is the same.
            let mut again = tunables.clone();
            again.read_from("fuzz.conf", bytes).expect("it was read before");
            assert_eq!(again, tunables);
            if let Ok(builder) = Pool::builder().tunables(&tunables) {
                drop(builder.build().map(|pool| pool.stats().to_string()));
            }
        }
    }
    let text = String::from_utf8_lossy(bytes);
    let pairs = || text.lines().filter_map(|line| line.split_once('='));
    let mut tunables = Tunables::new();
    if tunables.read_variables(pairs()).is_err() {
        assert_eq!(tunables, Tunables::new(), "a refused environment set something");
    }
    let pool = Pool::new();
    for (name, value) in pairs() {
        let before = pool.sysctl().read(name);
        match pool.sysctl().set(name, value) {
            Ok(set) => assert_eq!(pool.sysctl().read(name), Ok(set)),
            Err(error) => {
                assert!(!error.to_string().is_empty());
                assert_eq!(pool.sysctl().read(name), before, "a refused value of {name} set something");
            }
        }
        if let Ok(found) = pool.sysctl().find(name) {
            assert!(!found.is_empty());
        }
    }
}
