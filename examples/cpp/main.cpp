// Loads the policy of an exported bundle, checks it on golden.json, and scores rows of raw features.
//
//     cache_policy BUNDLE                 check, and measure decisions per second
//     cache_policy BUNDLE ROWS SCORES     and score ROWS, a file of float32, row by row, into SCORES, the same

#include <ATen/Parallel.h>
#include <torch/script.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <limits>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace {

using Floats = std::vector<float>;
namespace fs = std::filesystem;

constexpr int64_t kRowsAtOnce = 4096;
constexpr int kTimedDecisions = 2000;

// golden.json: states with the scores and decisions of a policy that was loaded right.
struct Golden {
    double tolerance = 0;           // largest difference of a score
    int64_t features = 0;           // of a row
    std::vector<Floats> inputs;     // of each state: its rows, one after the other; null = NaN
    std::vector<Floats> scores;     // of each state: [candidate], or [action] of a decision on a miss
    std::vector<size_t> decisions;  // of each state: the highest score, the first of equals
};

Golden read_golden(const fs::path& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error("cannot read " + path.string());
    const auto json = nlohmann::json::parse(file);
    Golden golden{json.at("tolerance"), 0, {}, json.at("scores"), json.at("decisions")};
    for (const auto& state : json.at("inputs")) {
        Floats rows;
        for (const auto& row : state) {
            golden.features = static_cast<int64_t>(row.size());
            for (const auto& value : row)
                rows.push_back(value.is_null() ? std::numeric_limits<float>::quiet_NaN() : value.get<float>());
        }
        golden.inputs.push_back(std::move(rows));
    }
    return golden;
}

// Returns the scores of `count` rows of raw features: one a row, or one an action of each row.
Floats score(torch::jit::Module& policy, const float* rows, int64_t count, int64_t features) {
    const c10::InferenceMode no_gradients;
    const auto input = at::from_blob(const_cast<float*>(rows), {count, features}, at::kFloat);
    const auto output = policy.forward({input}).toTensor().contiguous();
    return {output.const_data_ptr<float>(), output.const_data_ptr<float>() + output.numel()};
}

size_t decide(const Floats& scores) {
    return std::distance(scores.begin(), std::max_element(scores.begin(), scores.end()));
}

// Returns the largest difference of a score; throws where one is too large or a decision is another.
double check(torch::jit::Module& policy, const Golden& golden) {
    double largest = 0;
    for (size_t i = 0; i < golden.inputs.size(); ++i) {
        const auto& rows = golden.inputs[i];
        const auto& expected = golden.scores.at(i);
        const auto scores = score(policy, rows.data(), rows.size() / golden.features, golden.features);
        const auto state = "state " + std::to_string(i) + " of golden.json: ";
        if (scores.size() != expected.size()) throw std::runtime_error(state + "another number of scores");
        for (size_t j = 0; j < scores.size(); ++j) {
            const double difference = std::abs(scores[j] - expected[j]);
            if (!(difference <= golden.tolerance))  // also when it is NaN
                throw std::runtime_error(state + "score " + std::to_string(j) + " differs by " + std::to_string(difference));
            largest = std::max(largest, difference);
        }
        // Another decision is right only where the two scores are equal but for the tolerance.
        const auto best = expected[golden.decisions.at(i)];
        if (best - expected[decide(scores)] > 2 * golden.tolerance) throw std::runtime_error(state + "another decision");
    }
    return largest;
}

// Returns decisions per second, one state of golden.json at a time.
double speed(torch::jit::Module& policy, const Golden& golden) {
    const auto start = std::chrono::steady_clock::now();
    for (int i = 0; i < kTimedDecisions; ++i) {
        const auto& rows = golden.inputs[i % golden.inputs.size()];
        decide(score(policy, rows.data(), rows.size() / golden.features, golden.features));
    }
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    return kTimedDecisions / seconds.count();
}

void score_file(torch::jit::Module& policy, int64_t features, const fs::path& from, const fs::path& to) {
    std::ifstream source(from, std::ios::binary);
    std::ofstream target(to, std::ios::binary);
    if (!source || !target) throw std::runtime_error("cannot open " + from.string() + " or " + to.string());
    Floats rows(kRowsAtOnce * features);
    while (source) {
        source.read(reinterpret_cast<char*>(rows.data()), rows.size() * sizeof(float));
        const auto values = static_cast<int64_t>(source.gcount() / sizeof(float));
        if (values % features != 0) throw std::runtime_error(from.string() + " ends within a row");
        if (values == 0) break;
        const auto scores = score(policy, rows.data(), values / features, features);
        target.write(reinterpret_cast<const char*>(scores.data()), scores.size() * sizeof(float));
    }
    if (!target.flush()) throw std::runtime_error("cannot write " + to.string());
}

void run(const std::vector<std::string>& arguments) {
    const fs::path bundle = arguments[0];
    const auto golden = read_golden(bundle / "golden.json");
    at::set_num_threads(1);  // the network is small: more threads only wait for each other
    auto policy = torch::jit::load((bundle / "policy.pt").string(), at::kCPU);
    policy.eval();
    const auto largest = check(policy, golden);
    std::printf("golden.json: %zu states as recorded, largest difference %.2g (tolerance %.2g)\n", golden.inputs.size(),
                largest, golden.tolerance);
    std::printf("%.0f decisions a second, one at a time\n", speed(policy, golden));
    if (arguments.size() == 3) score_file(policy, golden.features, arguments[1], arguments[2]);
}

}  // namespace

int main(int count, char** values) {
    const std::vector<std::string> arguments(values + 1, values + count);
    if (arguments.size() != 1 && arguments.size() != 3) {
        std::fprintf(stderr, "usage: cache_policy BUNDLE [ROWS SCORES]\n");
        return 2;
    }
    try {
        run(arguments);
    } catch (const c10::Error& error) {
        std::fprintf(stderr, "error: %s\n", error.what_without_backtrace());
        return 1;
    } catch (const std::exception& error) {
        std::fprintf(stderr, "error: %s\n", error.what());
        return 1;
    }
    return 0;
}
